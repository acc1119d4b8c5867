"""Which version of each head is live."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pipelines.core.encoders.spec import HEADS, HeadName
from pipelines.core.settings import HeadSettings
from pipelines.core.state import HeadStatus, HeadVersion
from services.heads.versions import shipped


@dataclass(frozen=True, slots=True)
class LiveHead:
    """A head as the settings and the register have it. Every process follows within `heads.poll_s`.

    Attributes:
        version: `None` where there is none: it is off, or does not come with Strata.
        source: `builtin`: it comes with Strata; `own`: it was trained here and accepted.
        since: When an own one was accepted.
    """

    name: HeadName
    version: str | None = None
    source: Literal["builtin", "own"] | None = None
    since: datetime | None = None


def live_heads(settings: HeadSettings, versions: Iterable[HeadVersion]) -> list[LiveHead]:
    """Every head, in the order of `HEADS`.

    Args:
        versions: Of the register; those that are not accepted do not count.
    """
    accepted = {version.name: version for version in versions if version.status is HeadStatus.ACCEPTED}
    return [_live(name, str(getattr(settings, name)), accepted.get(name)) for name in HEADS]


def _live(name: HeadName, choice: str, accepted: HeadVersion | None) -> LiveHead:
    if choice == "off":
        return LiveHead(name)
    if choice == "live" and accepted is not None:
        return LiveHead(name, accepted.version, "own", accepted.accepted_at)
    comes = shipped(name)
    return LiveHead(name, comes[0].version, "builtin") if comes else LiveHead(name)
