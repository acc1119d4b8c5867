"""A whole distributed Strata as processes: servers, migration, API and workers, killed and started again by name."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from pipelines.core.settings import Role, Settings
from services.config import load
from services.runtime import Runtime
from tests.support.commands import MIGRATE, SERVE, runnable, worker
from tests.support.process import Server
from tests.support.qdrant_server import Qdrant
from tests.support.servers import Postgres, Redis
from tests.support.slow_models import SlowModels

ROOT = Path(__file__).parents[2]
API = "api"
WORKERS: dict[str, Sequence[Role]] = {"stages": ("plan", "prune", "cite"), "ledger": ("ingest", "answers", "sync")}
"""Two processes for all roles: each one loads the encoder, which takes seconds."""

TIMEOUT_S = 70.0


class StrataProcess(Server):
    """`strata serve` or `strata worker`.

    Args:
        name: Within its cluster; of its log and its heartbeat file in the cluster's folder.
        command: What follows `strata`.
        environment: Added to this process's.
        own_host: It sees its name as that of its host; needs root. On one host a process knows at once that another
            one is dead, of another host it has to wait for the end of a lease.
    """

    start_s = 120.0

    def __init__(
        self, name: str, command: tuple[str, ...], folder: Path, environment: Mapping[str, str], own_host: bool
    ) -> None:
        super().__init__()
        self._prefix = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', name] if own_host else []
        self.name, self.folder, self._words = name, folder, command
        self._lives: list[int] = []
        self._heartbeat = folder / f"{name}.heartbeat"
        own = {"STRATA_API__PORT": str(self.port), "STRATA_QUEUE__HEARTBEAT_FILE": str(self._heartbeat)}
        self._environment = {**os.environ, **environment, **own}

    @property
    def url(self) -> str:
        """Of the API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What it printed, in all its lives."""
        return self.folder / f"{self.name}.log"

    def launch(self) -> None:
        """Starts it without waiting."""
        self._heartbeat.unlink(missing_ok=True)
        super().launch()
        assert self.process is not None
        self._lives.append(self.process.pid)

    def stop(self) -> None:
        """SIGTERM, and the wait for its end."""
        self._end(signal.SIGTERM)

    def clear(self) -> None:
        """SIGKILL, also of what its lives may have left: each was the first process of a group."""
        self.kill()
        for group in self._lives:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

    def _command(self) -> list[str]:
        return [*self._prefix, *runnable(self._words)]

    def _options(self) -> dict[str, Any]:
        return {"cwd": ROOT, "env": self._environment, "start_new_session": True}

    def _answers(self) -> bool:
        if self._words[0] != SERVE[0]:
            return self._heartbeat.exists()
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


class Cluster:
    """All processes of a distributed Strata, inside a `with` block; whatever happens in it, none is left.

    Args:
        workers: Roles of each worker process, by its name.
        apis: API processes: `api`, and `api-2` and so on.
        settings: Sections of the configuration, over those that name the servers.
        models: Language models that the stages shall use; the cluster starts them.
        own_hosts: Every process of Strata believes that it is alone on its host; see `StrataProcess`.

    Attributes:
        folder: Of the configuration, the logs and the blobs.
        database_url: SQLAlchemy address of the state.
        models: As given.
        parts: Every process by its name: `redis`, `postgres`, `qdrant`, APIs, workers.
        client: Of the first API, with a key that may do everything.
    """

    def __init__(
        self,
        *,
        workers: Mapping[str, Sequence[Role]] = WORKERS,
        apis: int = 1,
        settings: Mapping[str, Any] | None = None,
        models: SlowModels | None = None,
        own_hosts: bool = False,
    ) -> None:
        self._workers, self._apis, self.models, self._own_hosts = workers, apis, models, own_hosts
        self._sections = dict(settings or {})
        self.key = f"strata-test-{secrets.token_hex(24)}"
        self.redis, self.postgres, self.qdrant = Redis(), Postgres(), Qdrant()
        self.parts: dict[str, Server] = {"redis": self.redis, "postgres": self.postgres, "qdrant": self.qdrant}

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="strata-cluster-"))
        self._stack = ExitStack()
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        try:
            self._start()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            print(self.logs(), file=sys.stderr)
        self._stack.close()

    def _start(self) -> None:
        for server in (self.redis, self.postgres, self.qdrant, self.models):
            if server is not None:
                self._stack.enter_context(server)
        self.database_url = self.postgres.new_database()
        self._write_configuration()
        environment = {"STRATA_CONFIG": str(self.configuration)}
        subprocess.run(runnable(MIGRATE), env={**os.environ, **environment}, cwd=ROOT, check=True)
        commands: dict[str, tuple[str, ...]] = {
            API if number == 1 else f"{API}-{number}": SERVE for number in range(1, self._apis + 1)
        }
        commands |= {name: worker(*roles) for name, roles in self._workers.items()}
        for name, command in commands.items():
            self.parts[name] = process = StrataProcess(name, command, self.folder, environment, self._own_hosts)
            self._stack.callback(process.clear)
            process.launch()
        self.client = self._stack.enter_context(self.connect())
        for name in commands:
            self.parts[name].wait_until_ready()

    def _write_configuration(self) -> None:
        given: dict[str, Any] = {
            "data_dir": str(self.folder / "data"),
            "index": {"mode": "server", "url": self.qdrant.url},
            "state": {"url": self.database_url},
            "queue": {"url": self.redis.url},
            "api": {"bootstrap_key": self.key},
            **(self.models.settings if self.models else {}),
        }
        for section, values in self._sections.items():
            given[section] = {**given.get(section, {}), **values} if isinstance(values, dict) else values
        self.configuration = self.folder / "strata.yaml"
        self.configuration.write_text(json.dumps(given, indent=2))  # JSON is YAML

    # --- Use -------------------------------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """As its processes read them."""
        return load(self.configuration, {}).settings

    def runtime(self) -> Runtime:
        """The same state and index in this process, to look into; the caller closes it."""
        return Runtime(self.settings)

    def connect(self, name: str = API) -> httpx.Client:
        """A client of an API, with a key that may do everything."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self._process(name).url, headers=headers, timeout=TIMEOUT_S)

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self.parts[name].kill()

    def start(self, name: str) -> None:
        """Starts what was killed or stopped, and waits until it is ready."""
        self.parts[name].start()

    def restart(self, name: str) -> None:
        """SIGKILL, and a new start."""
        self.kill(name)
        self.start(name)

    def logs(self, characters: int = 4000) -> str:
        """The end of every log."""
        return "\n".join(f"--- {name}\n{part.last_words(characters)}" for name, part in self.parts.items())

    def _process(self, name: str) -> StrataProcess:
        process = self.parts[name]
        assert isinstance(process, StrataProcess)
        return process
