"""The queue between processes: names, messages, and the side that sends."""
