"""The answer while it is written: live on a terminal, nothing elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from pipelines.core.events import DeltaEvent, Emit, EvidenceEvent, PlanEvent, ignore
from services.cli.render import clean, console


@contextmanager
def streamed(*, quiet: bool = False) -> Iterator[Emit]:
    """Shows steps and text as they come, and takes them back at the end: the verified answer replaces them."""
    screen = console()
    if quiet or not screen.is_terminal:
        yield ignore
        return
    with Live(Spinner("dots", "Loading…"), console=screen, transient=True, refresh_per_second=12) as live:
        yield _Shown(live)


class _Shown:
    """Hears the events of one question."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._text = ""

    def __call__(self, event: object) -> None:
        if isinstance(event, PlanEvent):
            count = len(event.plan.queries)
            self._live.update(Spinner("dots", f"Searching with {count} {'query' if count == 1 else 'queries'}…"))
        elif isinstance(event, EvidenceEvent):
            self._live.update(Spinner("dots", f"Reading {len(event.items)} passages…"))
        elif isinstance(event, DeltaEvent):
            self._text = event.text if event.restart else self._text + event.text
            self._live.update(Text(clean(self._text)))
