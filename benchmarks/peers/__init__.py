"""Strata beside other systems, each in its own process and its own virtual environment; see README.md here."""
