"""Storage: reading tables, publishing partitions and model bundles; nothing else writes."""
