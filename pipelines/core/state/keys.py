"""API keys: made, listed, revoked, and found by what a client presents.

A key is `strata_<id>_<secret>`. The secret has 256 random bits and is kept as its SHA-256. No slow hash is needed:
there is nothing that a dictionary could guess.
"""

import hmac
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from pipelines.core.access import SCOPES, Labels, Principal, Scope, check_tenant, covers
from pipelines.core.access import labels as checked_labels
from pipelines.core.errors import InvalidRequestError, NotFoundError, StateUnavailableError
from pipelines.core.state.clock import Clock, utc_now
from pipelines.core.state.database import Database
from pipelines.core.state.tables import ApiKeyRow

CACHE_S = 5.0
"""How long a process may go on with a key as it read it: a revocation holds everywhere after so long."""
CACHED = 10_000
USED_EVERY = timedelta(minutes=1)
SECRET_BYTES = 32
MAX_NAME = 200
LAST_YEAR = 9000

_FORM = re.compile(r"strata_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_NOBODY = "0" * 64
"""Compared with where no such key exists, so that this takes as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as it may be shown: without its secret.

    Attributes:
        labels: Access labels that it holds; `None` holds every one.
        rate_per_minute: Requests a minute; `None` means the configured default.
    """

    id: str
    tenant: str
    name: str
    scopes: tuple[Scope, ...]
    labels: Labels | None
    rate_per_minute: int | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None

    @property
    def principal(self) -> Principal:
        """Who makes a request with this key."""
        return Principal(
            key_id=self.id,
            tenant=self.tenant,
            scopes=self.scopes,
            labels=self.labels,
            rate_per_minute=self.rate_per_minute,
        )

    def usable(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class _Cached:
    key: ApiKey
    secret_sha256: str
    until: float


class Keys:
    """The API keys of a state database. Safe to share between threads. Every method may raise `StateUnavailableError`.

    Args:
        clock: Gives aware times.
        ticks: Seconds that never go back; for the cache.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock = utc_now,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._clock, self._ticks = database, clock, ticks
        self._cache: dict[str, _Cached] = {}
        self._lock = threading.Lock()

    def create(
        self,
        tenant: str,
        name: str,
        scopes: Iterable[Scope],
        *,
        labels: Iterable[str] | None = None,
        rate_per_minute: int | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[ApiKey, str]:
        """Makes a key.

        Args:
            labels: Access labels that it holds: none of them sees only documents without labels, `None` sees all.

        Returns:
            The key, and what a client presents. That is shown this once; nothing can restore it.

        Raises:
            InvalidRequestError: something is no name, scope, label, rate or time to come.
        """
        now = self._clock()
        _check(name, rate_per_minute, expires_at, now)
        key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(SECRET_BYTES)
        row = ApiKeyRow(
            id=key_id,
            secret_sha256=_hash(secret),
            tenant=check_tenant(tenant),
            name=name,
            scopes=list(_scopes(scopes)),
            labels=None if labels is None else checked_labels(labels),
            rate_per_minute=rate_per_minute,
            created_at=now,
            expires_at=expires_at,
        )
        key = _record(row)
        with self._database.write() as session:
            session.add(row)
        return key, f"strata_{key_id}_{secret}"

    def list(self, tenant: str | None = None, *, labels: Labels | None = None) -> tuple[ApiKey, ...]:
        """Keys, oldest first, revoked ones too.

        Args:
            tenant: Only this tenant's.
            labels: Of whoever looks: only keys that hold no more than these; `None` holds every one.
        """
        statement = select(ApiKeyRow).where(*_of(tenant)).order_by(ApiKeyRow.created_at, ApiKeyRow.id)
        with self._database.read() as session:
            return tuple(_record(row) for row in session.scalars(statement) if covers(labels, row.labels))

    def get(self, key_id: str) -> ApiKey:
        """A key by its id.

        Raises:
            NotFoundError: there is none.
        """
        with self._database.read() as session:
            return _record(_row(session, key_id, None, None))

    def any_usable(self) -> bool:
        """Whether somebody could present a key now."""
        unexpired = or_(ApiKeyRow.expires_at.is_(None), ApiKeyRow.expires_at > self._clock())
        statement = select(ApiKeyRow.id).where(ApiKeyRow.revoked_at.is_(None), unexpired).limit(1)
        with self._database.read() as session:
            return session.scalar(statement) is not None

    def revoke(self, key_id: str, tenant: str | None = None, *, labels: Labels | None = None) -> ApiKey:
        """Makes a key useless: here at once, in other processes within `CACHE_S`. Idempotent.

        Args:
            tenant: Whose key it must be.
            labels: See `list`.

        Raises:
            NotFoundError: there is no such key.
        """
        with self._database.write() as session:
            row = _row(session, key_id, tenant, labels)
            row.revoked_at = row.revoked_at or self._clock()
            key = _record(row)
        with self._lock:
            self._cache.pop(key_id, None)
        return key

    def find(self, presented: str) -> ApiKey | None:
        """The key that a client presents; `None` where it is unknown, revoked or expired.

        A key that was read within `CACHE_S` is not read again, even while the database cannot be reached.
        """
        if (form := _FORM.fullmatch(presented)) is None:
            return None
        if (known := self.remembered(presented)) is not None:
            return known
        key_id, digest = form[1], _hash(form[2])
        found = self._load(key_id)
        same = hmac.compare_digest(found.secret_sha256 if found else _NOBODY, digest)
        now = self._clock()
        if found is None or not same or not found.key.usable(now):
            return None
        self._touch(found.key, now)
        return found.key

    def remembered(self, presented: str) -> ApiKey | None:
        """What `find` would give, where it need not ask the database; else `None`."""
        cached = self._cached(presented)
        fresh = cached is not None and cached.until > self._ticks() and cached.key.usable(self._clock())
        return cached.key if cached and fresh else None

    def recognised(self, presented: str) -> bool:
        """Whether this process has seen a key of this id and secret. Asks no database; says nothing of its use now."""
        return self._cached(presented) is not None

    def _cached(self, presented: str) -> _Cached | None:
        if (form := _FORM.fullmatch(presented)) is None:
            return None
        with self._lock:
            cached = self._cache.get(form[1])
        return cached if cached and hmac.compare_digest(cached.secret_sha256, _hash(form[2])) else None

    def _load(self, key_id: str) -> _Cached | None:
        until = self._ticks() + CACHE_S  # from before it is read
        with self._database.read() as session:
            row = session.get(ApiKeyRow, key_id)
            found = None if row is None else _Cached(_record(row), row.secret_sha256, until)
        with self._lock:
            self._cache.pop(key_id, None)
            if found is not None:
                self._cache[key_id] = found
                while len(self._cache) > CACHED:
                    del self._cache[next(iter(self._cache))]
        return found

    def _touch(self, key: ApiKey, now: datetime) -> None:
        if key.used_at is not None and now - key.used_at < USED_EVERY:
            return
        stale = or_(ApiKeyRow.used_at.is_(None), ApiKeyRow.used_at <= now - USED_EVERY)
        try:
            with self._database.write() as session:
                session.execute(update(ApiKeyRow).where(ApiKeyRow.id == key.id, stale).values(used_at=now))
        except StateUnavailableError:
            return  # the key is good all the same


def _hash(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def _scopes(scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    wanted = set(scopes)
    if not wanted or not wanted <= set(SCOPES):
        raise InvalidRequestError(f"A key needs at least one scope of {', '.join(SCOPES)}, and no other.")
    return tuple(scope for scope in SCOPES if scope in wanted)


def _check(name: str, rate_per_minute: int | None, expires_at: datetime | None, now: datetime) -> None:
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise InvalidRequestError(f"A key needs a name of up to {MAX_NAME} printable characters.")
    if rate_per_minute is not None and rate_per_minute < 1:
        raise InvalidRequestError("A rate is at least one request a minute.")
    if expires_at is not None and expires_at.year > LAST_YEAR:  # another time zone may know no such time
        raise InvalidRequestError(f"A key expires by the year {LAST_YEAR}, or never.")
    if expires_at is not None and expires_at <= now:
        raise InvalidRequestError("The key would have expired already.")


def _of(tenant: str | None) -> list[ColumnElement[bool]]:
    return [] if tenant is None else [ApiKeyRow.tenant == tenant]


def _row(session: Session, key_id: str, tenant: str | None, labels: Labels | None) -> ApiKeyRow:
    row = session.get(ApiKeyRow, key_id)
    if row is None or tenant not in (None, row.tenant) or not covers(labels, row.labels):
        raise NotFoundError(f"There is no key {key_id}.")
    return row


def _record(row: ApiKeyRow) -> ApiKey:
    return ApiKey(
        id=row.id,
        tenant=row.tenant,
        name=row.name,
        scopes=_scopes(row.scopes),  # type: ignore[arg-type]  # checked there
        labels=row.labels,
        rate_per_minute=row.rate_per_minute,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        used_at=row.used_at,
    )
