"""What leaves this machine with a configuration. Nothing is contacted to find out."""

import ipaddress
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from pipelines.core.encoders import BUILTIN
from pipelines.core.models import TierStatus
from pipelines.core.settings import STAGES, Settings

CONTENT = {
    "plan": "the question and the conversation",
    "prune": "the question and the passages found",
    "synthesize": "the question and the evidence",
    "cite": "the answer and the evidence",
}


def departures(settings: Settings, tiers: Sequence[TierStatus]) -> list[str]:
    """What goes where, one sentence each; empty when everything stays on this machine."""
    return [*_to_models(settings, tiers), *_to_servers(settings), *_to_store(settings), *_to_hub(settings)]


def kept(settings: Settings) -> str | None:
    """What is kept of questions with consent; `None` where nothing is."""
    traces = settings.traces
    if not traces.consent:
        return None
    return (
        f"traces.consent: of {traces.share:.0%} of all questions the text, the conversation, the passages found, the "
        f"answer and what models replied are kept in the state database for {traces.keep_days:g} days; `strata traces "
        "label` sends them to the model that it names."
    )


def _to_models(settings: Settings, tiers: Sequence[TierStatus]) -> Iterator[str]:
    known = {tier.name: tier for tier in tiers}
    for stage in STAGES:
        tier = known.get(settings.stages.of(stage))
        for name in (tier.name, *tier.fallbacks) if tier else ():
            target = known.get(name)
            if target is not None and not target.local:
                when = "" if target is tier else f", when `{settings.stages.of(stage)}` cannot be reached"
                yield f"{stage}: {CONTENT[stage]} go to {target.model} ({target.address}){when}."


def _to_servers(settings: Settings) -> Iterator[str]:
    index = settings.index
    if index.mode == "server" and index.url and not _is_here(urlsplit(index.url).hostname):
        yield f"index: passages and search vectors go to the Qdrant server at {_address(index.url)}."
    if settings.state.url is not None:
        url = settings.state.url.get_secret_value()
        if not url.startswith("sqlite") and not _is_here(urlsplit(url).hostname):
            consented = " and, by traces.consent, questions, answers and passages" if settings.traces.consent else ""
            yield (
                f"state: names of documents, receipts, the questions and answers of batches{consented} go to the "
                f"database at {_address(url)}."
            )
    queue = settings.queue.url.get_secret_value()
    if settings.distributed and not _is_here(urlsplit(queue).hostname):
        yield f"queue: questions, the passages found and answers pass through the broker at {_address(queue)}."
    collector = settings.telemetry.otlp_endpoint
    if collector is not None and not _is_here(urlsplit(collector).hostname):
        yield f"telemetry: names, numbers and ids, no text, go to the collector at {_address(collector)}."


def _to_store(settings: Settings) -> Iterator[str]:
    url, endpoint = settings.blobs.url, settings.blobs.options.get("endpoint_url")
    if url is None or urlsplit(url).scheme in {"file", "memory"}:
        return
    if endpoint is None or not _is_here(urlsplit(endpoint.get_secret_value()).hostname):
        yield f"blobs: submitted files and their texts go to the object store at {_address(url)}."


def _to_hub(settings: Settings) -> Iterator[str]:
    model = settings.encoder.model
    if model != BUILTIN and not Path(model).is_dir():
        yield f"encoder: {model} is fetched from a model hub at first use; no text is sent."


def _address(url: str) -> str:
    """The address without user, password and query."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def _is_here(host: str | None) -> bool:
    try:
        return host is None or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
