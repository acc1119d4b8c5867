"""Where things are kept: the index of passages, the state database, files and texts."""

from typing import Literal

from pydantic import Field, SecretStr

from pipelines.core.settings.section import Seconds, Section


class IndexSettings(Section):
    """The passage index."""

    mode: Literal["embedded", "server"] = Field(
        "embedded", description="`embedded` is Qdrant's engine in this process; `server` is a Qdrant server."
    )
    url: str | None = Field(None, description="Address of the Qdrant server, for `mode: server`.")
    api_key: SecretStr | None = Field(None, description="Key of the Qdrant server.")
    collection: str = Field(
        "passages", pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Collection, or alias of the live one."
    )
    metadata_fields: dict[str, Literal["keyword", "integer", "float"]] = Field(
        default_factory=dict, description="Metadata fields to index, with their type; others can be filtered, slower."
    )
    timeout_s: Seconds = Field(10.0, description="Bound on one call to a Qdrant server, further tries included.")
    bm25_average_words: float = Field(
        100.0, gt=0, description="Average passage length that BM25 normalises by, in terms after stop words."
    )


class StateSettings(Section):
    """The state database: documents, jobs, receipts."""

    url: SecretStr | None = Field(
        None, description="SQLAlchemy address, for example of PostgreSQL; empty means SQLite in `data_dir`."
    )
    keep_receipts_days: float = Field(90.0, gt=0, description="Days after which the receipt of an answer is removed.")
    keep_jobs_days: float = Field(
        90.0, gt=0, description="Days after which a finished job is removed, unless a document of it could be retried."
    )


class BlobSettings(Section):
    """Where submitted files and source texts lie."""

    url: str | None = Field(
        None,
        description="An fsspec address such as `s3://bucket/prefix` or `file:///folder`; empty means a folder in "
        "`data_dir`.",
    )
    options: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="Options of the fsspec file system, for S3 `key`, `secret`, `endpoint_url`, `region`.",
    )
    timeout_s: Seconds = Field(30.0, description="Bound on one call to an object store.")
