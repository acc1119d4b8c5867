"""Results as people read them: text tables, Markdown, one HTML page."""
