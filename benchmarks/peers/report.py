"""The result as plain values and as a Markdown table."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from benchmarks.peers.judge import Judged
from benchmarks.peers.measure import Standing
from services.evaluation.statistics import interval, mean, spread

SEED = 7
TIMES = ("wall_ms", "cpu_ms", "model_ms", "stub_ms", "overhead_ms")


def figures(standing: Standing) -> dict[str, Any]:
    """All figures of a system, with 95 % intervals of means and the spread of times."""
    if standing.failed:
        return {"label": standing.label, "failed": standing.failed}
    rates = {encoder: _rate(values) for encoder, values in standing.rates.items()}
    asked = {name: _summary(each) for name, each in standing.asked.items()}
    return {"label": standing.label, **standing.about, "documents_per_s": rates, "sets": asked}


def _rate(values: list[float]) -> dict[str, Any]:
    return {"median": spread(values).p50, "min": min(values), "max": max(values), "rounds": values}


def _summary(asked: list[Judged]) -> dict[str, Any]:
    rows = [asdict(each) for each in asked]
    summary: dict[str, Any] = {"questions": len(rows)}
    for name in rows[0]:
        values = [row[name] for row in rows if row[name] is not None]
        if name in TIMES:
            summary[name] = spread(values).model_dump()
        else:
            summary[name] = {"mean": mean(values), "interval": interval(values, SEED), "n": len(values)}
    for name, swapped in (("valid_of_right_drafts", 0.0), ("valid_of_wrong_drafts", 1.0)):
        values = [row["valid"] for row in rows if row["swapped"] == swapped and not row["abstained"]]
        summary[name] = {"mean": mean(values), "interval": interval(values, SEED), "n": len(values)}
    return summary


def markdown(result: dict[str, Any]) -> str:
    """A table a set and one of indexing."""
    systems = result["systems"].values()
    parts = []
    for task in result["sets"]:
        parts += [_title(task), _table(_HEAD, (_row(system, task["name"]) for system in systems))]
    if any(system.get("documents_per_s") for system in systems):
        parts += [
            f"Indexing, {result['indexed']} passages a round, {result['rounds']} rounds, documents a second: "
            "median (least to most)",
            _table(("", "with the encoder", "encoder that does nothing"), map(_indexing, systems)),
        ]
    return "\n\n".join(parts) + "\n"


_HEAD = (
    "",
    "large tokens in",
    "large calls",
    "small calls",
    "small tokens",
    "overhead ms p50 / p95",
    "encoder and heads ms p50",
    "processor ms p50",
    "gold passages shown",
    "gold sentences shown",
    "gold answer shown",
    "valid citations",
    "of drafts with a wrong one",
    "sentence quotes",
    "abstained",
)


def _title(task: dict[str, Any]) -> str:
    return f"{task['name']} {task['split']}, first {task['questions']} questions over {task['documents']:,} passages"


def _row(system: dict[str, Any], task: str) -> tuple[str, ...]:
    if "failed" in system:
        return (system["label"], f"not run: {system['failed']}", *[""] * (len(_HEAD) - 2))
    each = system["sets"].get(task)
    if each is None:
        return (system["label"], *["-"] * (len(_HEAD) - 1))
    wrong = each["valid_of_wrong_drafts"]
    return (
        system["label"],
        _count(each["large_tokens_in"]),
        f"{each['large_calls']['mean']:.2f}",
        f"{each['small_calls']['mean']:.1f}",
        f"{each['small_tokens']['mean']:,.0f}",
        f"{each['overhead_ms']['p50']:.0f} / {each['overhead_ms']['p95']:.0f}",
        f"{each['model_ms']['p50']:.0f}",
        f"{each['cpu_ms']['p50']:.0f}",
        _share(each["gold_passages"]),
        _share(each["gold_sentences"]),
        _share(each["answer_shown"]),
        _share(each["valid"]),
        f"{wrong['mean']:.2f} of {wrong['n']}" if wrong["n"] else "-",
        f"{each['quoted']['mean']:.2f}",
        f"{each['abstained']['mean']:.2f}",
    )


def _indexing(system: dict[str, Any]) -> tuple[str, ...]:
    if "failed" in system:
        return (system["label"], f"not run: {system['failed']}", "")
    rates = system["documents_per_s"]
    return (system["label"], *(_least_to_most(rates[encoder]) for encoder in ("real", "none")))


def _least_to_most(rate: dict[str, Any]) -> str:
    return f"{rate['median']:.0f} ({rate['min']:.0f} to {rate['max']:.0f})"


def _count(figure: dict[str, Any]) -> str:
    low, high = figure["interval"]
    return f"{figure['mean']:,.0f} ({low:,.0f} to {high:,.0f})"


def _share(figure: dict[str, Any]) -> str:
    if not figure["n"]:
        return "-"
    low, high = figure["interval"]
    return f"{figure['mean']:.2f} ({low:.2f} to {high:.2f})"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
