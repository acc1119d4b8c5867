"""One metric a file. Each takes one question's outcome and gives a number; the mean is the report's affair."""

from services.evaluation.metrics.containment import contains_answer
from services.evaluation.metrics.ndcg import ndcg
from services.evaluation.metrics.quotes import quote_is_verbatim
from services.evaluation.metrics.recall import recall
from services.evaluation.metrics.rouge import rouge_l

__all__ = ["contains_answer", "ndcg", "quote_is_verbatim", "recall", "rouge_l"]
