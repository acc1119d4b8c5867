"""Servers for the tests of the REST service. Loading the encoder takes seconds, so every server shares one."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.encoders import Encoder
from pipelines.core.settings import EncoderSettings, LitellmParams, ModelEntry, Settings
from services.runtime import Runtime
from tests.support.api_server import ApiServer
from tests.support.model_stub import ModelStub

Serve = Callable[..., ApiServer]


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """The real one, loaded."""
    encoder = Encoder(EncoderSettings())
    encoder.warm_up()
    return encoder


def _runtime(encoder: Encoder, data_dir: Path, **sections: Any) -> Runtime:
    runtime = Runtime(Settings.model_validate({"data_dir": data_dir, **sections}))
    runtime.encoder = encoder
    return runtime


@pytest.fixture(scope="session")
def api(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server that all tests share: documents of one test must not answer the questions of another."""
    with ApiServer(_runtime(encoder, tmp_path_factory.mktemp("api"))) as server:
        yield server


@pytest.fixture
def serve(encoder: Encoder, tmp_path: Path) -> Iterator[Serve]:
    """Starts servers with settings of their own, on one data folder."""
    with ExitStack() as stack:
        yield lambda **sections: stack.enter_context(ApiServer(_runtime(encoder, tmp_path / "data", **sections)))


@pytest.fixture(scope="module")
def modelled(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ApiServer, ModelStub]]:
    """A server, shared by a module's tests, whose stages all call the stub: `small` and `large`, priced."""
    price = {"input_cost_per_token": 1e-6, "output_cost_per_token": 3e-6}
    with ModelStub() as stub:
        entries = [
            ModelEntry(
                model_name=name,
                litellm_params=LitellmParams(model=f"openai/{name}", api_base=stub.url, api_key="sk-stub", **price),
            )
            for name in ("small", "large")
        ]
        sections = {
            "models": entries,
            "stages": {"default": "small", "synthesize": "large"},
            "model_calls": {"timeout_s": 2.0, "retries": 0},
            "answer": {"deadline_s": 8.0},
        }
        with ApiServer(_runtime(encoder, tmp_path_factory.mktemp("modelled"), **sections)) as server:
            yield server, stub
