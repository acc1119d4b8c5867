"""One process of Strata, composed in layers: its stores, the two sides that work on them, and both together."""

from services.runtime.root import Runtime

__all__ = ["Runtime"]
