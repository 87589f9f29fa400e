"""Core: errors, columns, and what every Spark ML stage here stands on."""
