"""The document path: reading files, making passages, working the queue off."""

from pydantic import Field, SecretStr

from pipelines.core.settings.section import MIB, Bytes, Seconds, Section


class ConvertSettings(Section):
    """Reading files."""

    max_file_bytes: Bytes = Field(512 * MIB, description="Largest file accepted.")
    max_unpacked_bytes: Bytes = Field(1024 * MIB, description="Largest content of a zipped format (DOCX, XLSX, …).")
    timeout_s: Seconds = Field(120.0, description="Bound on converting one file.")
    workers: int = Field(1, ge=1, le=32, description="Converter processes.")
    max_memory_bytes: Bytes = Field(4096 * MIB, description="Memory that a converter process may map.")


class SplitSettings(Section):
    """Making passages. Changing this makes every document new: the next ingest embeds all of them again."""

    max_words: int = Field(400, ge=20, le=2000, description="Words of a passage, its sentences never cut.")


class IngestSettings(Section):
    """The document path as a whole."""

    batch_passages: int = Field(256, ge=1, le=8192, description="Passages embedded and written together.")
    max_attempts: int = Field(3, ge=1, le=20, description="Tries of a document before it ends as failed.")
    lease_s: Seconds = Field(
        40.0, description="A worker that has not been heard of for so long loses its documents to another."
    )
    max_queued: int = Field(
        500_000, ge=1, description="Documents that may wait; beyond it submissions are told to come back."
    )
    max_archive_members: int = Field(10_000, ge=1, description="Most files in one archive.")
    max_archive_bytes: Bytes = Field(4096 * MIB, description="Largest unpacked content of one archive.")
    sources: tuple[str, ...] = Field(
        (),
        description="Addresses whose content the API may be told to synchronise, such as `s3://bucket/manuals/` or "
        "`file:///srv/docs/`: it takes these and what lies under them. The command line takes any.",
    )
    source_options: dict[str, dict[str, SecretStr]] = Field(
        default_factory=dict, description="fsspec options of those addresses, by protocol."
    )
