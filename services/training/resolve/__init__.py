"""The head `resolve`: conversations, real and put together."""
