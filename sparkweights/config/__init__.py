"""Configuration: one YAML file, parsed once into frozen typed values."""
