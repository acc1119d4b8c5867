"""Types, errors, settings, and the only users of models, index and database."""
