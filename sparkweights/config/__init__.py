"""Configuration: one YAML file, parsed once into frozen typed values."""

from sparkweights.config.loader import load_config, resolve_secrets
from sparkweights.config.schema import Config
from sparkweights.config.sections import Table

__all__ = ["Config", "Table", "load_config", "resolve_secrets"]
