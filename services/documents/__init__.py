"""Documents on their way into the index and out of it: accepting, working off, sources, reindexing, sweeping."""
