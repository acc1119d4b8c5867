"""A system in its own process, spoken to line by line."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

QUIET = {
    "HAYSTACK_TELEMETRY_ENABLED": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
    "OPENAI_API_KEY": "none",
}
"""Switches that keep libraries from calling home; the worker blocks what they do not cover."""


class SystemFailedError(RuntimeError):
    """A system could not be run, or did not do what it was told; the message says why."""


@dataclass(frozen=True)
class Kind:
    """A system and where its Python is.

    Attributes:
        label: Its name in tables.
        environment: The name of its requirements and its virtual environment; `None`: the one that runs this.
        vectors: Systems of the same name give the same texts the same vectors.
    """

    label: str
    module: str
    environment: str | None
    vectors: str


KINDS = {
    "strata": Kind("Strata", "strata", None, "strata"),
    "haystack": Kind("Haystack hybrid", "haystack_hybrid", "haystack", "sentence-transformers"),
    "llamaindex": Kind("LlamaIndex", "llama_index_hybrid", "llamaindex", "sentence-transformers"),
    "paperqa": Kind("paper-qa", "paper_qa", "paperqa", "sentence-transformers"),
    "txtai": Kind("txtai", "txtai_hybrid", "txtai", "txtai"),
}


class SystemProcess:
    """A running worker; leave the `with` block to end it.

    Args:
        environments: The folder that `install` made virtual environments in.
        log: What the system prints.

    Raises:
        SystemFailedError: there is no environment for it.
    """

    def __init__(self, kind: Kind, environments: Path, log: IO[bytes]) -> None:
        python = sys.executable
        if kind.environment:
            python = str(environments / kind.environment / "bin" / "python")
            if not Path(python).exists():
                raise SystemFailedError(
                    f"no virtual environment {kind.environment}: python -m benchmarks.peers.install"
                )
        variables = {**os.environ, **QUIET}
        variables.pop("PYTHONPATH", None)
        if kind.environment is None:
            variables["PYTHONPATH"] = str(ROOT)
        self.kind = kind
        self._process = subprocess.Popen(
            [python, str(HERE / "worker.py"), kind.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=variables,
            cwd="/",
            text=True,
        )

    def do(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Sends a command and waits for its reply.

        Raises:
            SystemFailedError: the command failed, or the process ended.
        """
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(json.dumps({"do": command, **arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise SystemFailedError(f"ended with status {self._process.wait()}; see its log") from None
        line = self._process.stdout.readline()
        if not line:
            raise SystemFailedError(f"ended with status {self._process.wait()} at `{command}`; see its log")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise SystemFailedError(f"{command}: {reply['error']}")
        return reply

    def __enter__(self) -> Self:
        """Gives the process, to be ended on leaving."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it."""
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()
