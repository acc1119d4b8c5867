"""The document path: files to an index of passages."""
