"""What a process keeps things in, and reads them from: state database, files and texts, the index and its encoder."""

from functools import cached_property

from pipelines.core.blobs import BlobStore, make_blobs
from pipelines.core.encoders import Encoder
from pipelines.core.encoders.cache import ModelCache
from pipelines.core.state import Batches, Database, Fleet, HeadVersions, Keys, Ledger, Sources, Traces, sqlite_url
from pipelines.core.store import Schema, Store, make_store
from services.heads.versions import HeadStore
from services.runtime.parts import Parts, opened_once


class Stores(Parts):
    """The stores of one process, each opened when it is first needed."""

    # --- State -----------------------------------------------------------------------------------------------------

    @opened_once
    def database(self) -> Database:
        """The state database, which ledger, keys, batches and sources share."""
        url = self.settings.state.url
        if url is None:
            self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        address = url.get_secret_value() if url else sqlite_url(self.settings.data_dir / "state.sqlite")
        return self._closing(Database(address))

    @cached_property
    def ledger(self) -> Ledger:
        """Documents, jobs and receipts."""
        return Ledger(self.database, max_attempts=self.settings.ingest.max_attempts)

    @cached_property
    def keys(self) -> Keys:
        """API keys."""
        return Keys(self.database)

    @cached_property
    def batch_ledger(self) -> Batches:
        """Batches of questions, as they are recorded."""
        return Batches(self.database, max_attempts=self.settings.batch.max_attempts)

    @cached_property
    def sources(self) -> Sources:
        """Folders and buckets that documents come from, as they are recorded."""
        return Sources(self.database, max_attempts=self.settings.ingest.max_attempts)

    @cached_property
    def fleet(self) -> Fleet:
        """The workers that were heard of lately."""
        return Fleet(self.database)

    @cached_property
    def traces(self) -> Traces:
        """Records of the small stages."""
        return Traces(self.database)

    @cached_property
    def head_versions(self) -> HeadVersions:
        """Versions of the heads."""
        return HeadVersions(self.database)

    # --- Files -----------------------------------------------------------------------------------------------------

    @cached_property
    def blobs(self) -> BlobStore:
        """Submitted files and source texts."""
        return make_blobs(self.settings.blobs, self.settings.data_dir)

    @cached_property
    def head_store(self) -> HeadStore:
        """Files of versions of heads."""
        return HeadStore(self.head_versions, self.blobs, ModelCache(self.settings.encoder.cache_dir))

    # --- Index -----------------------------------------------------------------------------------------------------

    @cached_property
    def encoder(self) -> Encoder:
        """The in-process encoder; its model loads on first use."""
        return Encoder(self.settings.encoder)

    @opened_once
    def store(self) -> Store:
        """The index, open. An embedded one opens once."""
        return self._made_store.open()

    @cached_property
    def _made_store(self) -> Store:
        """The index, not yet open. Kept while opening it fails: it knows for how long its server is left alone."""
        return self._closing(make_store(self.settings.index, self.settings.data_dir, self._schema))

    @property
    def _schema(self) -> Schema:
        """What the index is to be built with."""
        return Schema(encoder=self.encoder.fingerprint, dim=self.encoder.dim)
