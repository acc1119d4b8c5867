"""A process that tests and benchmarks start, kill and start again."""

import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self


class ServerError(RuntimeError):
    """A server did not start; its log is in the message."""


def free_port() -> int:
    """A port of loopback that nobody holds.

    It lies below the range that the kernel gives to clients: while a server is down, a client that tries to reach its
    port could otherwise be given that very port, and be connected with itself.
    """
    while True:
        port = random.randint(10_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


class Server:
    """A process of a `with` block that answers when it is ready; it may be killed and started again.

    Attributes:
        parent: Where its folder is made; empty means the usual place of temporary files.
        port: The same for its whole life.
        folder: Its own, removed at the end.
        process: `None` while it is down.
    """

    name = "server"
    parent: Path | None = None
    start_s = 30.0
    stop_s = 30.0

    def __init__(self) -> None:
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix=f"strata-{self.name}-", dir=self.parent))
        try:
            self._prepare()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Starts it, on the port and with the data that it had, and waits until it answers.

        Raises:
            ServerError: it did not answer in time.
        """
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Starts it without waiting."""
        assert self.process is None, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command(), stdout=log, stderr=log, **self._options())

    def wait_until_ready(self) -> None:
        """Waits until it answers.

        Raises:
            ServerError: it ended, or did not answer in time.
        """
        end = time.monotonic() + self.start_s
        while not self._answers():
            assert self.process is not None, f"{self.name} was not launched"
            if self.process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise ServerError(f"{self.name} did not start:\n{self.last_words()}")
            time.sleep(0.02)

    def last_words(self, characters: int = 4000) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else ""

    def kill(self) -> None:
        """SIGKILL, and the wait for its end. Nothing happens where it is down."""
        self._end(signal.SIGKILL)

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.folder / "log"

    def _end(self, number: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(self.stop_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def _prepare(self) -> None:
        """Before the first start."""

    def _options(self) -> dict[str, Any]:
        """Further arguments of `Popen`."""
        return {"cwd": self.folder}

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError
