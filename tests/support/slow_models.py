"""Language models of fixed delay, as a process of their own: what is measured beside them is not their time.

    python -m tests.support.slow_models PORT plan=0.05 prune=0.1 synthesize=2 cite=0.05

Model `openai/prune` sensibly does the work of that stage, after so many seconds; a stream spreads its words over them.
An answer is the first piece of evidence.
One event loop serves hundreds of streams.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.support.process import Server


class SlowModels(Server):
    """The process.

    Args:
        delays_s: Of each stage that a model does.
    """

    name = "models"

    def __init__(self, **delays_s: float) -> None:
        super().__init__()
        self.delays_s = delays_s

    @property
    def settings(self) -> dict[str, Any]:
        """The sections of a configuration that give these models their stages."""
        shared = {"api_base": f"http://127.0.0.1:{self.port}/v1", "api_key": "sk-stub"}
        price = {"input_cost_per_token": 1e-7, "output_cost_per_token": 4e-7}
        models = [
            {"model_name": stage, "litellm_params": {"model": f"openai/{stage}", **shared, **price}}
            for stage in self.delays_s
        ]
        return {"models": models, "stages": {stage: stage for stage in self.delays_s}}

    def _command(self) -> list[str]:
        delays = [f"{stage}={delay_s}" for stage, delay_s in self.delays_s.items()]
        return [sys.executable, "-m", "tests.support.slow_models", str(self.port), *delays]

    def _options(self) -> dict[str, Any]:
        return {}  # of the checkout's folder

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/livez").status_code == 200
        except httpx.TransportError:
            return False


# --- The process -----------------------------------------------------------------------------------------------------


def reply(stage: str, data: dict[str, Any]) -> str:
    """What a sensible model of the stage answers."""
    match stage:
        case "plan":
            return json.dumps({"standalone": data["question"], "queries": []})
        case "prune":
            keep = [
                {"passage": passage["number"], "sentences": [int(number) for number in passage["sentences"]]}
                for passage in data["passages"][:3]
            ]
            return json.dumps({"keep": keep, "answerable": bool(keep)})
        case "cite":
            numbers = [claim["number"] for claim in data["claims"]]
            return json.dumps({"bindings": [{"claim": number, "sources": [1]} for number in numbers]})
        case _:
            return f"{data['evidence'][0]['text']} [1]"


def build(delays_s: dict[str, float]) -> Starlette:
    """The app."""

    async def complete(request: Request) -> Response:
        body = await request.json()
        stage = body["model"]
        text = reply(stage, json.loads(body["messages"][-1]["content"]))
        if body.get("stream"):
            return StreamingResponse(_stream(text, delays_s[stage], stage), media_type="text/event-stream")
        await asyncio.sleep(delays_s[stage])
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return JSONResponse(_named(stage, "chat.completion", choices=[choice], usage=_usage(text)))

    async def livez(_: Request) -> Response:
        return PlainTextResponse("ok")

    return Starlette(
        routes=[Route("/v1/chat/completions", complete, methods=["POST"]), Route("/livez", livez)],
    )


async def _stream(text: str, delay_s: float, stage: str) -> AsyncIterator[str]:
    words = text.split(" ")
    for word in words:
        await asyncio.sleep(delay_s / len(words))
        yield _chunk(stage, {"content": f"{word} "}, None)
    yield _chunk(stage, {}, "stop")
    yield f"data: {json.dumps(_named(stage, 'chat.completion.chunk', choices=[], usage=_usage(text)))}\n\n"
    yield "data: [DONE]\n\n"


def _chunk(stage: str, delta: dict[str, str], finish_reason: str | None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return f"data: {json.dumps(_named(stage, 'chat.completion.chunk', choices=[choice]))}\n\n"


def _named(stage: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"id": "slow", "object": kind, "created": 0, "model": stage, **fields}


def _usage(text: str) -> dict[str, int]:
    written = len(text.split())
    return {"prompt_tokens": 100, "completion_tokens": written, "total_tokens": 100 + written}


def main(port: str, *delays: str) -> None:
    """Serves until killed."""
    import uvicorn

    delays_s = {stage: float(delay) for stage, _, delay in (word.partition("=") for word in delays)}
    uvicorn.run(build(delays_s), port=int(port), access_log=False, log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
