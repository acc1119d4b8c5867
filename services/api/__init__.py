"""The REST service."""

from services.api.app import create_app
from services.api.server import serve

__all__ = ["create_app", "serve"]
