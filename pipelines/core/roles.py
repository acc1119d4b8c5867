"""The stages of a question that a model does, and what a worker process may do."""

from typing import Literal

StageName = Literal["plan", "prune", "synthesize", "cite"]
STAGES: tuple[StageName, ...] = ("plan", "prune", "synthesize", "cite")

Role = Literal["plan", "prune", "cite", "ingest", "answers", "sync"]
"""What a worker process may do, and the queue of it: a small stage, indexing, batches of questions, sources."""
ROLES: tuple[Role, ...] = ("plan", "prune", "cite", "ingest", "answers", "sync")
