"""The error tree. Domain code raises these; it knows nothing of HTTP or of Celery.

`services.api.problems` maps codes to HTTP statuses; `services.worker` reads `retryable`. Too little evidence is not an
error but an answer status.
"""

from typing import ClassVar

from pipelines.core.types import Usage


class StrataError(Exception):
    """Base of every error that Strata raises on purpose.

    Attributes:
        code: Stable machine-readable name, `snake_case`.
        retryable: Whether the same request may succeed later without a change.
        detail: One sentence for a person: what is wrong and, where known, how to mend it.
        retry_after_s: When to try again, in seconds from now, where that is known.
    """

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False
    retry_after_s: float | None = None

    def __init__(self, detail: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s


class ConfigurationError(StrataError):
    """The configuration cannot work: unknown key, unknown model, missing credential."""

    code = "configuration_invalid"


class InvalidRequestError(StrataError):
    """The caller's input is malformed or outside its limits."""

    code = "request_invalid"


class RequestTooLargeError(InvalidRequestError):
    """The caller's input is larger than a configured limit."""

    code = "request_too_large"


class NotFoundError(StrataError):
    """No document, job or answer has this id."""

    code = "not_found"


class RepeatedKeyError(InvalidRequestError):
    """An idempotency key was used before, for another request."""

    code = "idempotency_key_reused"


class ConflictError(StrataError):
    """The thing is in a state that does not allow this, for example an index that another process holds."""

    code = "conflict"


class UnauthenticatedError(StrataError):
    """There is no API key with the request, or it is unknown, expired or revoked."""

    code = "unauthenticated"


class ForbiddenError(StrataError):
    """The API key does not have the scope that this needs."""

    code = "forbidden"


class RateLimitedError(StrataError):
    """The API key made more requests than it may."""

    code = "rate_limited"
    retryable = True


class OverloadedError(StrataError):
    """A queue is full, or a provider's quota is spent: nothing was accepted, come back later."""

    code = "overloaded"
    retryable = True


class DocumentError(StrataError):
    """A document cannot be ingested; `detail` is shown to the person who submitted it."""

    code = "document_failed"


class UnsupportedDocumentError(DocumentError):
    """No converter exists for this kind of file, or its content is not what its name says."""

    code = "document_unsupported"


class MalformedDocumentError(DocumentError):
    """The file cannot be read: damaged, truncated or not of its format."""

    code = "document_malformed"


class EncryptedDocumentError(DocumentError):
    """The file needs a password."""

    code = "document_encrypted"


class EmptyDocumentError(DocumentError):
    """The file holds no text."""

    code = "document_empty"


class DocumentTooLargeError(DocumentError):
    """The file, or what it unpacks to, is larger than the configured limit."""

    code = "document_too_large"


class DocumentTimeoutError(DocumentError):
    """Converting the file took longer than the configured limit."""

    code = "document_timeout"
    retryable = True


class DocumentReplacedError(DocumentError):
    """What was prepared of a document went out of the index before it could be shown."""

    code = "document_replaced"
    retryable = True

    def __init__(self) -> None:
        super().__init__("The document was replaced or deleted while it was indexed.")


class WorkerLostError(DocumentError):
    """The process that prepared the document died; a document that kills every worker must end as failed."""

    code = "document_worker_lost"
    retryable = True

    def __init__(self) -> None:
        super().__init__("The process that prepared this document died; the file may need more memory than there is.")


class UnforeseenDocumentError(DocumentError):
    """Preparing the document, alone or together with others, fell over in a way that nobody foresaw."""

    code = "document_unforeseen"
    retryable = True

    def __init__(self) -> None:
        super().__init__("Something unforeseen went wrong while this document was prepared; the log has more.")


class QuestionLostError(StrataError):
    """The process that answered a question of a batch died."""

    code = "question_worker_lost"
    retryable = True

    def __init__(self) -> None:
        super().__init__("The process that answered this question died.")


class UnforeseenQuestionError(StrataError):
    """Answering a question of a batch fell over in a way that nobody foresaw."""

    code = "question_unforeseen"
    retryable = True

    def __init__(self) -> None:
        super().__init__("Something unforeseen went wrong while this question was answered; the log has more.")


class IndexMismatchError(StrataError):
    """The collection was built with another encoder or schema than the configured one."""

    code = "index_mismatch"


class IndexUnavailableError(StrataError):
    """The index cannot be reached."""

    code = "index_unavailable"
    retryable = True


class StateUnavailableError(StrataError):
    """The state database cannot be reached."""

    code = "state_unavailable"
    retryable = True


class BlobsUnavailableError(StrataError):
    """The object store cannot be reached."""

    code = "blobs_unavailable"
    retryable = True


class QueueUnavailableError(StrataError):
    """The broker cannot be reached."""

    code = "queue_unavailable"
    retryable = True


class ModelError(StrataError):
    """A model call failed.

    Attributes:
        usage: What the failed calls already cost, so that the receipt stays true.
    """

    code = "model_failed"

    def __init__(self, detail: str, usage: Usage | None = None, *, retry_after_s: float | None = None) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)
        self.usage = usage


class ModelUnavailableError(ModelError):
    """The provider could not be reached, refused for load, or failed on its side."""

    code = "model_unavailable"
    retryable = True


class ModelRejectedError(ModelError):
    """The provider refused the request: bad key, unknown model, too long a context."""

    code = "model_rejected"


class ModelOutputError(ModelError):
    """The model answered, but not in the agreed form (schema, or a stream that was cut)."""

    code = "model_output_invalid"
    retryable = True


class CostLimitError(ModelError):
    """What the request may still cost does not pay for the call, or the price of the call is unknown."""

    code = "cost_limit_reached"


class DeadlineExceededError(ModelError):
    """The request's deadline passed before there was an answer."""

    code = "deadline_exceeded"
    retryable = True
