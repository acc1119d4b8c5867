"""The evaluation sets: their rows, questions and corpora."""
