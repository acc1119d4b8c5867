"""Questions on their way to an answer: the stages' models, one question, batches."""
