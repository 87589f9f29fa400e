"""Storage: files and folders of users, locks, and tables that are read and published."""
