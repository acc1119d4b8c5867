"""Keeps the heads of a process at the accepted versions, while it works."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from pipelines.core.encoders import Heads
from pipelines.core.encoders.spec import HEADS, HeadName
from pipelines.core.errors import StrataError
from pipelines.core.settings import HeadSettings
from pipelines.core.state import HeadVersion, HeadVersions
from services.heads.versions import HeadStore

REFUSED_S = 60.0
"""How long a version that could not be used is left alone: its blob may be put right."""

SHIPPED = "shipped"

logger = logging.getLogger(__name__)


class HeadWatch:
    """Puts accepted versions to work and takes back what is rolled back. Nothing of it can end the process.

    Building one reads nothing. `follow` looks at once; `start` a thread that looks every `heads.poll_s`.

    Args:
        heads, versions, store: Give the parts; called when it looks, since the database may be away.
        swapped: Hears of each version that was to become live: the head, the version (`shipped`: the one that comes
            with Strata), and `live` or `refused`.
    """

    def __init__(
        self,
        settings: HeadSettings,
        heads: Callable[[], Heads],
        *,
        versions: Callable[[], HeadVersions],
        store: Callable[[], HeadStore],
        swapped: Callable[[str, str, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._poll_s, self._heads = settings.poll_s, heads
        self._allowed = frozenset(name for name in HEADS if getattr(settings, name) == "live")
        self._names: frozenset[HeadName] = frozenset()
        self._versions, self._store, self._swapped = versions, store, swapped
        self._clock = clock
        self._looking = threading.Lock()
        self._live: dict[HeadName, str | None] = {}
        self._refused: dict[HeadName, tuple[str, float]] = {}
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def follow(self, names: Iterable[HeadName]) -> None:
        """Puts the accepted versions of these heads to work, from now on; where they are followed already, nothing."""
        if fresh := self._allowed.intersection(names) - self._names:
            self._names |= fresh
            self.look()

    def look(self) -> None:
        """Looks once; whatever cannot be used leaves what is live as it is."""
        if not self._names:
            return
        with self._looking:
            try:
                accepted = self._versions().live()
            except StrataError as error:
                logger.warning("accepted heads are not known: %s", error.detail)
                return
            for name in sorted(self._names):
                self._follow(name, accepted)

    def start(self) -> None:
        """Looks now and then, in a thread of its own. Idempotent."""
        if self._thread is None and self._allowed:
            self._thread = threading.Thread(target=self._run, name="strata-heads", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Ends the thread, once a version that is loading is loaded. Idempotent."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(self._poll_s):
            self.look()

    def _follow(self, name: HeadName, accepted: Mapping[str, HeadVersion]) -> None:
        version = accepted.get(name)
        wanted = version.version if version else None
        refused, until = self._refused.get(name, ("", 0.0))
        if wanted == self._live.get(name) or (wanted == refused and self._clock() < until):
            return
        try:
            self._heads().swap(name, self._store().folder(version) if version else None)
        except StrataError as error:
            self._refuse(name, wanted, error.detail)
        except Exception as error:  # the boundary of the thread; files of heads come from outside
            self._refuse(name, wanted, f"{type(error).__name__}: {error}")
        else:
            self._live[name] = wanted
            self._refused.pop(name, None)
            self._swapped(name, wanted or SHIPPED, "live")
            logger.info("the head %s is now %s", name, wanted or "the one that comes with Strata")

    def _refuse(self, name: HeadName, wanted: str | None, reason: str) -> None:
        self._refused[name] = (wanted or "", self._clock() + REFUSED_S)
        self._swapped(name, wanted or SHIPPED, "refused")
        stays = self._live.get(name) or "the one that comes with Strata"
        logger.error("the head %s %s cannot be used, %s stays: %s", name, wanted, stays, reason)
