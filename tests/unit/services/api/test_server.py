from pathlib import Path

import pytest
import uvicorn

from pipelines.core.errors import StrataError
from pipelines.core.settings import Settings
from services.api.server import serve
from services.runtime import Runtime


def test_a_service_that_did_not_start_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def refuse(*_: object, **__: object) -> None:
        return  # as uvicorn does once the app's start failed

    monkeypatch.setattr(Runtime, "warm_up", lambda _: None)
    monkeypatch.setattr(uvicorn.Server, "serve", refuse)
    with pytest.raises(StrataError, match="did not start"):
        serve(Settings(data_dir=tmp_path))
