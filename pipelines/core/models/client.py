"""The only file that imports LiteLLM. It makes single requests; trying again is `tiers.py`'s affair."""

import asyncio
import importlib
import logging
import os
import threading
import warnings
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Any, cast

from pydantic import BaseModel

from pipelines.core.models.failures import classify
from pipelines.core.models.http import LoopClient, tame
from pipelines.core.models.secrets import Redactor, redactor, resolve
from pipelines.core.models.structured import with_schema
from pipelines.core.models.values import Failure, Message, Tokens
from pipelines.core.models.wire import Wire
from pipelines.core.settings import ModelCallSettings, ModelEntry

_LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")
# Strata retries, falls back and prices by itself, and truthfully; LiteLLM would do each again, in hiding.
_OWN_PARAMS = frozenset(
    {"num_retries", "max_retries", "fallbacks", "timeout", "input_cost_per_token", "output_cost_per_token"}
)
_HTTP = LoopClient()
_users = 0
_users_lock = threading.Lock()


def load() -> ModuleType:
    """Imports LiteLLM (2 to 5 s the first time), silent and without calls home."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm  # slow to import

    # Pydantic's remarks on LiteLLM's own code, made at the first stream.
    warnings.filterwarnings("ignore", message="Item .* is using the `ReadOnly` qualifier", category=UserWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="litellm")
    from litellm.litellm_core_utils import streaming_handler  # slow to import
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

    tame(AsyncHTTPHandler)
    cast(Any, streaming_handler).asyncify = _in_thread
    litellm.suppress_debug_info = True
    litellm.disable_hf_tokenizer_download = True
    litellm.disable_aiohttp_transport = True
    litellm.aclient_session = _HTTP
    litellm.num_retries = 0
    for name in _LOGGERS:  # its texts may hold keys and prompts
        logging.getLogger(name).disabled = True
    return cast(ModuleType, litellm)


def missing_keys(model: str) -> tuple[str, ...]:
    """Environment variables that LiteLLM would read this model's key from, when none is set. No request is made."""
    found = load().validate_environment(model)
    return () if found["keys_in_environment"] else tuple(found["missing_keys"])


class Client:
    """Single requests to the entries that LiteLLM serves; call `warm_up` before the first."""

    def __init__(self, entries: Sequence[ModelEntry], settings: ModelCallSettings) -> None:
        self._entries = {entry.model_name: entry for entry in entries}
        self._settings = settings
        self._redact: Redactor = redactor(entries)
        self._litellm: Any = None
        self._router: Any = None
        self._prices: dict[str, tuple[float, float] | None] = {}
        self._listed: dict[str, dict[str, Any] | None] = {}

    def warm_up(self) -> None:
        """Imports LiteLLM and builds the router. Idempotent."""
        global _users  # noqa: PLW0603  # LiteLLM's own state is the process's, so its users are counted there
        if self._router is not None:
            return
        self._litellm = load()
        for name, entry in self._entries.items():
            # Before the router is built: it enters models that LiteLLM does not know, at a price of zero.
            self._listed[name] = self._lookup(entry.litellm_params.model)
            self._prices[name] = _own_price(entry)
        router = self._litellm.Router(
            model_list=[_deployment(entry) for entry in self._entries.values()],
            num_retries=0,
            max_fallbacks=0,
            disable_cooldowns=True,
        )
        router.discard()  # takes its callbacks out of LiteLLM's global lists
        self._drop_callbacks()
        self._litellm.token_counter(model="", text="warm")
        importlib.import_module("openai.resources")  # else LiteLLM's first request does: 430 modules, 0.5 s and more
        with _users_lock:
            _users += 1
        self._router = router

    async def aclose(self) -> None:
        """Ends LiteLLM's background work and closes connections, once no other client of this process needs them."""
        global _users  # noqa: PLW0603  # see `warm_up`
        if self._router is None:
            return
        self._router = None
        with _users_lock:
            _users -= 1
            last = _users == 0
        if last:
            await self._close_process_state()

    async def _close_process_state(self) -> None:
        from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER  # slow to import
        from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler  # slow to import

        await GLOBAL_LOGGING_WORKER.flush()
        await GLOBAL_LOGGING_WORKER.stop()
        cache = self._litellm.in_memory_llm_clients_cache
        mark = f"-{id(asyncio.get_running_loop())}"
        for key, client in list(cache.cache_dict.items()):
            if key.endswith(mark):
                cache.cache_dict.pop(key, None)
                cache.ttl_dict.pop(key, None)
                if isinstance(client, AsyncHTTPHandler):
                    await client.close()
        await _HTTP.close_pool()

    async def complete(
        self, name: str, messages: Sequence[Message], schema: type[BaseModel]
    ) -> tuple[str, str, Tokens]:
        """One request for structured output.

        Returns:
            The text, the finish reason and what it took.
        """
        prompt, response_format = self._structured(name, messages, schema)
        response = await self._router.acompletion(
            model=name,
            messages=[message.model_dump() for message in prompt],
            temperature=0.0,
            max_tokens=self._settings.max_output_tokens,
            **response_format,
            **self._common(name),
        )
        choice = response.choices[0]
        text = choice.message.content or ""
        return text, str(choice.finish_reason or ""), self.tokens(name, response.usage, prompt, text)

    async def open_stream(self, name: str, messages: Sequence[Message], *, max_tokens: int, temperature: float) -> Wire:
        """One request for streamed text; returns once the provider has begun to answer."""
        # The router's own stream hides whether the provider sent a finish reason: LiteLLM invents `stop` for a stream
        # that merely ended. So the router resolves the deployment and the request is made on it directly.
        deployment = self._router.get_deployment_by_model_group_name(name)
        params = deployment.litellm_params.model_dump(exclude_none=True)
        stream = await self._litellm.acompletion(
            **{
                **params,
                "messages": [message.model_dump() for message in messages],
                "temperature": temperature,
                "max_tokens": max_tokens,
                "stream": True,
                "stream_options": {"include_usage": True},
                **self._common(name),
            }
        )
        return Wire(stream, lambda usage, text: self.tokens(name, usage, messages, text))

    def timeout_s(self, name: str) -> float:
        """Bound on one request to this entry."""
        own = getattr(self._entries[name].litellm_params, "timeout", None)
        return float(own) if own else self._settings.timeout_s

    def tokens(self, name: str, usage: Any, messages: Sequence[Message], text: str) -> Tokens:
        """The provider's figures, or counts of our own where it gave none."""
        if usage is not None and usage.total_tokens:
            return Tokens(usage.prompt_tokens, usage.completion_tokens, self._cost(name, usage))
        model = self._entries[name].litellm_params.model
        counted = self._litellm.Usage(
            prompt_tokens=self._litellm.token_counter(model=model, messages=[m.model_dump() for m in messages]),
            completion_tokens=self._litellm.token_counter(model=model, text=text),
        )
        cost = self._cost(name, counted)
        return Tokens(counted.prompt_tokens, counted.completion_tokens, cost, estimated=True)

    def classify(self, name: str, error: Exception) -> Failure:
        """What a failed request means, without credentials."""
        return classify(error, timeout_s=self.timeout_s(name), redact=self._redact)

    def _structured(
        self, name: str, messages: Sequence[Message], schema: type[BaseModel]
    ) -> tuple[Sequence[Message], dict[str, Any]]:
        entry = self._entries[name]
        listed = self._listed[name] or {}
        if entry.model_info.get("supports_response_schema", listed.get("supports_response_schema")):
            return messages, {"response_format": schema}
        supported = self._litellm.get_supported_openai_params(model=entry.litellm_params.model) or []
        mode = {"response_format": {"type": "json_object"}} if "response_format" in supported else {}
        return with_schema(messages, schema), mode

    def _common(self, name: str) -> dict[str, Any]:
        # A constant timeout: LiteLLM opens a new connection pool for each value it sees.
        return {"timeout": self.timeout_s(name), "num_retries": 0, "max_retries": 0, "drop_params": True}

    def _cost(self, name: str, usage: Any) -> float | None:
        own = self._prices[name]
        if own is not None:
            return float(usage.prompt_tokens * own[0] + usage.completion_tokens * own[1])
        if self._listed[name] is None:
            return None
        prompt_cost, completion_cost = self._litellm.cost_per_token(
            model=self._entries[name].litellm_params.model,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            usage_object=usage,
        )
        return float(prompt_cost + completion_cost)

    def price(self, name: str) -> tuple[float, float] | None:
        """USD of a prompt token and of an answer token, or `None` where unknown."""
        if own := self._prices[name]:
            return own
        listed = self._listed[name] or {}
        if "output_cost_per_token" not in listed:
            return None
        return float(listed["input_cost_per_token"]), float(listed["output_cost_per_token"])

    def _lookup(self, model: str) -> dict[str, Any] | None:
        # Not `litellm.get_model_info`: for Ollama it asks a server.
        table = self._litellm.model_cost
        found = table.get(model)
        if found is None:
            provider, _, name = model.partition("/")
            other = table.get(name, {})  # the same name at another provider is another model, at another price
            found = other if str(other.get("litellm_provider", "")).startswith(provider) else None
        return dict(found) if found and "input_cost_per_token" in found else None

    def _drop_callbacks(self) -> None:
        for name in (
            "callbacks",
            "input_callback",
            "success_callback",
            "failure_callback",
            "_async_success_callback",
            "_async_failure_callback",
        ):
            getattr(self._litellm, name).clear()


def _in_thread(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """LiteLLM's own takes threads of AnyIO, which are as many as there are streams that end at a time."""
    return partial(asyncio.to_thread, function)


def _deployment(entry: ModelEntry) -> dict[str, Any]:
    params = {name: value for name, value in entry.litellm_params.model_dump().items() if name not in _OWN_PARAMS}
    if params.get("api_base") and not resolve(params.get("api_key")):
        # LiteLLM would send OPENAI_API_KEY to whatever server the address names.
        params["api_key"] = "none"
    info = {name: value for name, value in entry.model_info.items() if name not in _OWN_PARAMS}
    return {"model_name": entry.model_name, "litellm_params": params, "model_info": info}


def _own_price(entry: ModelEntry) -> tuple[float, float] | None:
    given = {**entry.model_info, **entry.litellm_params.model_dump()}
    prices = given.get("input_cost_per_token"), given.get("output_cost_per_token")
    if prices[0] is None or prices[1] is None:
        return None
    return float(prices[0]), float(prices[1])
