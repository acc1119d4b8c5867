"""What can be known of a model configuration without a request."""

import difflib
import ipaddress
import os
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from pipelines.core.errors import ConfigurationError
from pipelines.core.models.secrets import ENV_PREFIX, resolve
from pipelines.core.models.values import KeyState, TierStatus
from pipelines.core.settings import STAGES, ModelEntry, StageModels, StageName

IN_PROCESS = ("encoder", "extractive")
"""Names that stages may use without an entry, and the providers of in-process entries."""

_LOCAL_DEFAULTS = {"ollama": "http://localhost:11434", "ollama_chat": "http://localhost:11434"}
_MACHINE_IDENTITY = frozenset({"bedrock", "vertex_ai", "sagemaker", "sagemaker_chat", "azure", "azure_ai", "watsonx"})


def provider_of(entry: ModelEntry) -> str:
    """The part of `provider/model` before the slash; LiteLLM reads a bare name as OpenAI's."""
    return str(getattr(entry.litellm_params, "custom_llm_provider", "") or _prefix(entry.litellm_params.model))


def is_in_process(entry: ModelEntry) -> bool:
    """Whether this process does the work itself, without LiteLLM."""
    return provider_of(entry) in IN_PROCESS


def describe(entries: Sequence[ModelEntry]) -> list[TierStatus]:
    """Where each entry's requests go and whether its key is there. Makes no request."""
    return [_status(entry) for entry in entries]


def check(entries: Sequence[ModelEntry], stages: StageModels) -> None:
    """Refuses a configuration that cannot work. Keys are asked for only where a stage or its fallbacks use the entry.

    Raises:
        ConfigurationError: a name is declared twice or reserved, a fallback is unknown, in process or part of a
            cycle, a stage's model is unknown or cannot do the stage's work, or a key is missing.
    """
    known = _by_name(entries)
    places = {entry.model_name: f"models[{index}] `{entry.model_name}`" for index, entry in enumerate(entries)}
    for entry in entries:
        _check_fallbacks(entry, known, places)
    used: dict[str, str] = {}
    for stage in STAGES:
        name = stages.of(stage)
        place = f"stages.{stage}" if getattr(stages, stage) else f"stages.{stage} (from stages.default)"
        _check_stage(stage, name, place, known)
        if name in known:
            used.update({used_name: place for used_name in (name, *known[name].fallbacks) if used_name not in used})
    for name, place in used.items():
        status = _status(known[name])
        if status.key == "missing":
            variables = " or ".join(status.missing) or "`api_key`"
            raise ConfigurationError(f"{places[name]}, used by {place}, has no key: set {variables}.")


def _by_name(entries: Sequence[ModelEntry]) -> dict[str, ModelEntry]:
    known: dict[str, ModelEntry] = {}
    for index, entry in enumerate(entries):
        name = entry.model_name
        if name in known:
            raise ConfigurationError(
                f"models[{index}]: the name `{name}` is declared twice; rename one of the entries."
            )
        if name in IN_PROCESS:
            raise ConfigurationError(f"models[{index}]: the name `{name}` is reserved; choose another.")
        known[name] = entry
    return known


def _check_fallbacks(entry: ModelEntry, known: Mapping[str, ModelEntry], places: Mapping[str, str]) -> None:
    place = places[entry.model_name]
    for name in entry.fallbacks:
        if name not in known:
            raise ConfigurationError(f"{place}: the fallback `{name}` is not declared{_nearest(name, known)}.")
        if is_in_process(known[name]) or is_in_process(entry):
            raise ConfigurationError(
                f"{place}: the fallback `{name}` cannot stand in; in-process models take over by themselves."
            )
    path = _cycle(entry.model_name, known)
    if path:
        raise ConfigurationError(f"{place}: its fallbacks go round in a circle, {' → '.join(path)}; remove one.")


def _cycle(start: str, known: Mapping[str, ModelEntry]) -> list[str]:
    """The first way from an entry over fallbacks back to itself; empty when there is none."""
    pending = [[start]]
    seen: set[str] = set()
    while pending:
        path = pending.pop()
        for name in known[path[-1]].fallbacks:
            if name == start:
                return [*path, name]
            if name in known and name not in seen:
                seen.add(name)
                pending.append([*path, name])
    return []


def _check_stage(stage: StageName, name: str, place: str, known: Mapping[str, ModelEntry]) -> None:
    if name not in known and name not in IN_PROCESS:
        raise ConfigurationError(f"{place}: no model is named `{name}`{_nearest(name, (*known, *IN_PROCESS))}.")
    kind = provider_of(known[name]) if name in known else name
    if kind == "extractive" and stage != "synthesize":
        raise ConfigurationError(f"{place}: `{name}` selects sentences, which is synthesize's work; use `encoder`.")
    if kind == "encoder" and stage == "synthesize":
        raise ConfigurationError(f"{place}: `{name}` is an encoder and cannot write; use `extractive`.")


def _nearest(name: str, names: Sequence[str] | Mapping[str, object]) -> str:
    found = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean `{found[0]}`?" if found else f"; there are: {', '.join(f'`{n}`' for n in names) or 'none'}"


def _status(entry: ModelEntry) -> TierStatus:
    provider = provider_of(entry)
    address, local = _address(entry, provider)
    key, missing = _key(entry, provider)
    return TierStatus(
        name=entry.model_name,
        model=entry.litellm_params.model,
        provider=provider,
        address=address,
        local=local,
        key=key,
        missing=missing,
        fallbacks=entry.fallbacks,
    )


def _address(entry: ModelEntry, provider: str) -> tuple[str, bool]:
    if provider in IN_PROCESS:
        return "in process", True
    base = getattr(entry.litellm_params, "api_base", None) or getattr(entry.litellm_params, "base_url", None)
    variables = (f"{provider.upper()}_BASE_URL", f"{provider.upper()}_API_BASE")
    url = resolve(base) if base else next((os.environ[name] for name in variables if os.environ.get(name)), None)
    url = url or _LOCAL_DEFAULTS.get(provider)
    if not isinstance(url, str):
        return f"{provider}, the provider's own", False
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl(), _is_loopback(parts.hostname or "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _key(entry: ModelEntry, provider: str) -> tuple[KeyState, tuple[str, ...]]:
    if provider in IN_PROCESS:
        return "not needed", ()
    params = entry.litellm_params.model_dump()
    unset = tuple(
        value.removeprefix(ENV_PREFIX)
        for value in params.values()
        if isinstance(value, str) and value.startswith(ENV_PREFIX) and not resolve(value)
    )
    if unset:
        return "missing", unset
    if params.get("api_key"):
        return "present", ()
    if params.get("api_base") or params.get("base_url") or provider in _LOCAL_DEFAULTS:
        return "not needed", ()
    if provider in _MACHINE_IDENTITY:
        return "from the machine", ()
    from pipelines.core.models.client import missing_keys  # imports LiteLLM, slow; rarely reached

    missing = missing_keys(entry.litellm_params.model)
    return ("missing", missing) if missing else ("present", ())


def _prefix(model: str) -> str:
    return model.split("/", 1)[0] if "/" in model else "openai"
