"""Recorded questions: labels, export, and better heads from them."""
