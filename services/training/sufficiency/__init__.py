"""The head `sufficiency`: evidence with and without what answers."""
