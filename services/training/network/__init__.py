"""The network that is trained, and how."""
