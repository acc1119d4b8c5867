"""The stand-in counts passages that are written although they are there."""

from contextlib import closing
from pathlib import Path

import pytest

from pipelines.core.settings import IndexSettings
from pipelines.core.store import EmbeddedPassage, Schema, make_store
from tests.support.evidence import passage
from tests.support.hash_encoder import HashEncoder
from tests.support.qdrant_server import Qdrant

pytestmark = pytest.mark.network


def test_a_passage_that_is_written_twice_is_counted_once_more(qdrant_server: Qdrant, tmp_path: Path) -> None:
    encoder = HashEncoder()
    settings = IndexSettings(mode="server", url=qdrant_server.url, collection="counted")
    one, two = passage("The gate is red."), passage("The gate is blue.")
    before = qdrant_server.counts()
    with closing(make_store(settings, tmp_path, Schema(encoder=encoder.fingerprint, dim=encoder.dim)).open()) as store:
        for batch in ([one], [one, two]):
            vectors = encoder.embed([each.text for each in batch]).vectors
            store.write([EmbeddedPassage(each, vector, "default") for each, vector in zip(batch, vectors, strict=True)])
    after = qdrant_server.counts()
    counted = {name: after[name] - before[name] for name in after}
    assert counted == {"passages_written": 3, "passages_written_again": 1}
