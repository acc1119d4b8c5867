"""`strata evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import context

if TYPE_CHECKING:
    from services.evaluation.result import AbstentionResult, AnswersResult, Result, RetrievalResult
    from services.evaluation.statistics import Spread


def evaluate(
    ctx: typer.Context,
    set_: Annotated[str, typer.Argument(metavar="SET", help="nq_gold, multihop_wiki or mtrag.", show_default=False)],
    data: Annotated[
        Path, typer.Option("--data", metavar="DIR", help="The folder that holds the sets.", show_default=False)
    ],
    split: Annotated[
        str, typer.Option("--split", metavar="NAME", help="Folder with the questions.", show_default=False)
    ],
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Only the first questions. Without it all for retrieval, 200 for answers."),
    ] = None,
    task: Annotated[str | None, typer.Option("--task", help="Only `retrieval` or only `answers`.")] = None,
    work_dir: Annotated[
        Path | None,
        typer.Option(
            "--work-dir",
            metavar="DIR",
            help="Where indexes are kept between runs [default: evaluation/ in the data folder].",
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the result, with its provenance.")
    ] = None,
) -> None:
    """Measure retrieval and answers on a set, beside baselines from the same run."""
    from pipelines.core.errors import InvalidRequestError
    from services.cli.progress import progress
    from services.evaluation.run import Request, evaluate

    if json_file and (json_file.is_dir() or not json_file.parent.is_dir()):
        raise InvalidRequestError(f"--json: {json_file} cannot be written: its folder is missing, or it is one itself.")
    request = Request(set_, data, split, limit=limit, work_dir=work_dir, task=task)
    result = evaluate(request, context.settings(ctx), progress)
    if json_file:
        json_file.write_text(result.model_dump_json(indent=2) + "\n", encoding="utf-8")
    _show(result)


def _show(result: "Result") -> None:
    from services.cli.render import console, line

    commit = result.provenance["commit"] or "no checkout"
    dirty = " with changes" if result.provenance["dirty"] else ""
    line(
        f"{result.set} · {result.split} · {result.index.documents:,} documents, {result.index.passages:,} passages · "
        f"configuration {result.config_version} · commit {commit[:12]}{dirty} · seed {result.seed}",
        "bold",
    )
    if result.index.rejected:
        line(f"{len(result.index.rejected)} documents could not be indexed; nothing finds them.", "yellow")
    if result.skipped:
        line(f"{result.skipped} questions without a gold document were left out.", "yellow")
    if result.retrieval:
        console().print()
        _show_retrieval(result.retrieval)
    if result.answers and result.abstention:
        console().print()
        _show_answers(result.answers, result.abstention)


def _show_retrieval(retrieval: "RetrievalResult") -> None:
    from services.cli.render import add_row, console, table

    recall, gain = f"R@{retrieval.k}", f"nDCG@{retrieval.k}"
    made = table(
        "group", "retrieval", recall, "95 %", gain, "95 % ", "n", "p50 ms", right=(recall, gain, "n", "p50 ms")
    )
    for row in retrieval.rows:
        add_row(
            made,
            row.group,
            row.system,
            f"{row.recall:.3f}",
            _interval(row.recall_interval),
            f"{row.ndcg:.3f}",
            _interval(row.ndcg_interval),
            row.n,
            f"{row.p50_ms:.1f}",
        )
    console().print(made)


def _show_answers(answers: "AnswersResult", abstention: "AbstentionResult") -> None:
    from services.cli.render import add_row, console, cost, table

    made = table("answers", "n", "value", "", right=("n", "value"))
    n = answers.n
    rows: list[tuple[str, int, str, str]] = [
        ("answered", n, _share(answers.answered), ""),
        ("wrongly abstained", n, _share(answers.wrongly_abstained), ""),
        ("contain a gold answer", n, _share(answers.contains_answer), _interval(answers.contains_answer_interval)),
        ("citations verbatim at their offsets", answers.citations, _share(answers.verbatim), ""),
        (
            "abstained, gold document removed",
            abstention.n,
            _share(abstention.abstained),
            _interval(abstention.abstained_interval),
        ),
        ("answered right all the same", abstention.n, _share(abstention.answered_right), ""),
        ("total ms, p50 / p95", n, _spread(answers.total_ms), ""),
        ("ms outside models, p50 / p95", n, _spread(answers.outside_models_ms), ""),
        ("model calls a question", n, f"{answers.calls:.1f}", ""),
        ("tokens in / out a question", n, f"{answers.tokens_in:,.0f} / {answers.tokens_out:,.0f}", ""),
        ("cost a question", n, cost(answers.cost_usd), ""),
        ("large-model tokens avoided a question", n, f"{answers.large_tokens_avoided:,.0f}", ""),
    ]
    failed = {**abstention.failed, **answers.failed}
    rows += [
        (f"failed: {code}", n + abstention.n, str(answers.failed.get(code, 0) + abstention.failed.get(code, 0)), "")
        for code in failed
    ]
    for row in rows:
        add_row(made, *row)
    console().print(made)


def _interval(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:.3f}–{bounds[1]:.3f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _spread(times: "Spread") -> str:
    return f"{times.p50:.1f} / {times.p95:.1f}"
