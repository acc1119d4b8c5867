"""Versions of heads: stored, fetched, checked, and put to work in every process without a restart."""
