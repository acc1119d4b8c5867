"""`GET /v1/heads`: what is live, and what this process has loaded."""

from collections.abc import Callable

import pytest

from pipelines.core.encoders.spec import HEADS
from services.heads.versions import shipped
from tests.support.api_server import ApiServer

pytestmark = pytest.mark.network


def test_what_is_live_and_loaded(serve: Callable[..., ApiServer]) -> None:
    server = serve(heads={"sufficiency": "off"})
    before = {each["name"]: each for each in server.client.get("/v1/heads").json()["heads"]}
    assert list(before) == list(HEADS)
    assert before["sufficiency"] == {
        "name": "sufficiency", "version": None, "source": None, "since": None, "loaded": None,
    }  # fmt: skip
    comes = shipped("resolve")
    assert comes is not None
    assert (before["resolve"]["version"], before["resolve"]["source"]) == (comes[0].version, "builtin")
    server.runtime.heads.get("resolve")
    server.runtime.head_versions.add("evidence", "mine", sha256="x", blob_key="k", size_bytes=1, figures={})
    server.runtime.head_versions.accept("evidence", "mine")
    after = {each["name"]: each for each in server.client.get("/v1/heads").json()["heads"]}
    loaded = after["resolve"]["loaded"]
    assert loaded["version"] == comes[0].version
    assert loaded["engine"].startswith(("openvino", "torch"))
    assert 10_000_000 < loaded["memory_bytes"] < 100_000_000
    assert (after["evidence"]["version"], after["evidence"]["source"]) == ("mine", "own")
    assert after["evidence"]["since"]
