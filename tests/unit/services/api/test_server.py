from pathlib import Path

import pytest
import uvicorn

from pipelines.core.errors import StrataError
from pipelines.core.settings import Settings
from services.api.server import is_loopback, serve
from services.runtime import Runtime


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", True), ("::1", True), ("localhost", True)])
def test_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org"])
def test_beyond_this_machine(host: str) -> None:
    assert not is_loopback(host)


def test_a_service_that_did_not_start_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def refuse(*_: object, **__: object) -> None:
        return  # as uvicorn does once the app's start failed

    monkeypatch.setattr(Runtime, "warm_up", lambda _: None)
    monkeypatch.setattr(uvicorn.Server, "serve", refuse)
    with pytest.raises(StrataError, match="did not start"):
        serve(Settings(data_dir=tmp_path))
