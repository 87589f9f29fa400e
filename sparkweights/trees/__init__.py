"""Trees as plain nodes: read from MLlib, pruned by weighted risk, written back."""
