"""Loads the settings from one YAML file and the environment, and says where each value came from."""

from services.config.loading import LoadedConfig, load
from services.config.version import config_version, redacted

__all__ = ["LoadedConfig", "config_version", "load", "redacted"]
