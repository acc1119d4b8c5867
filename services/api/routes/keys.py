"""API keys: made, listed and revoked. Nobody hands out more than they have."""

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from pipelines.core.access import Principal, Scope
from pipelines.core.errors import ForbiddenError
from pipelines.core.state import ApiKey, Keys
from services.api.auth import Admin
from services.api.context import Ctx
from services.api.gatekeeper import BOOTSTRAP
from services.api.problems import responses
from services.api.schemas import MAX_INT32, AccessLabels, Body, Exchangeable

router = APIRouter(prefix="/v1/keys", tags=["keys"])

Tenant = Annotated[str | None, Field(max_length=128, description="Only the bootstrap key may name another's.")]


class NewKey(Body):
    """A key to make. What is left out is as the maker's own key has it."""

    name: Annotated[str, Field(min_length=1, max_length=200, description="To tell it from others.")]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=10)]
    labels: AccessLabels | None = Field(
        None, description="Access labels that it holds. With none of them it sees only documents without labels."
    )
    rate_per_minute: int | None = Field(None, ge=1, le=MAX_INT32, description="Requests a minute.")
    expires_at: AwareDatetime | None = None
    tenant: Tenant = None


class KeyView(BaseModel):
    """A key without its secret. `labels` is `null` where it holds every label."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    tenant: str
    name: str
    scopes: list[Scope]
    labels: list[str] | None
    rate_per_minute: int | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None = Field(description="To within a minute.")

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        """As it is kept."""
        return cls.model_validate(key)


class KeyMade(BaseModel):
    """A new key, and what a client sends as `Authorization: Bearer`: shown this once, nothing can restore it."""

    key: KeyView
    secret: str


class KeyList(BaseModel):
    """Keys, oldest first."""

    keys: list[KeyView]


@router.post("", status_code=201, responses=responses(413, 415))
def create_key(body: Annotated[NewKey, Exchangeable], response: Response, context: Ctx, caller: Admin) -> KeyMade:
    """Makes a key of the own tenant. Its secret is in the answer and nowhere else."""
    keys = context.runtime.keys
    tenant = _tenant(caller, body.tenant)
    own_end = _end_of(caller, keys)
    key, secret = keys.create(
        tenant,
        body.name,
        body.scopes,
        labels=_labels(caller, body.labels),
        rate_per_minute=_rate(caller, body.rate_per_minute),
        expires_at=_end(own_end, body.expires_at),
    )
    response.headers["Cache-Control"] = "no-store"
    return KeyMade(key=KeyView.of(key), secret=secret)


@router.get("", responses=responses())
def list_keys(context: Ctx, caller: Admin, tenant: Tenant = None) -> KeyList:
    """Lists the keys of the own tenant that hold no more labels than the own one, revoked ones too."""
    found = context.runtime.keys.list(_tenant(caller, tenant), labels=caller.labels)
    return KeyList(keys=[KeyView.of(key) for key in found])


@router.delete("/{key_id}", responses=responses(404))
def revoke_key(key_id: str, context: Ctx, caller: Admin, tenant: Tenant = None) -> KeyView:
    """Revokes a key. It may be good for another five seconds in other processes."""
    return KeyView.of(context.runtime.keys.revoke(key_id, _tenant(caller, tenant), labels=caller.labels))


# --- Nobody hands out more than they have --------------------------------------------------------------------------


def _tenant(caller: Principal, wanted: str | None) -> str:
    if wanted not in (None, caller.tenant) and caller != BOOTSTRAP:
        raise ForbiddenError("Only the bootstrap key manages the keys of other tenants.")
    return wanted or caller.tenant


def _labels(caller: Principal, wanted: list[str] | None) -> tuple[str, ...] | None:
    if wanted is None:
        return caller.labels
    if not caller.covers(tuple(wanted)):
        raise ForbiddenError("A key bound to access labels makes only keys that hold no others.")
    return tuple(wanted)


def _rate(caller: Principal, wanted: int | None) -> int | None:
    if wanted is None or caller.rate_per_minute is None:
        return wanted or caller.rate_per_minute
    if wanted > caller.rate_per_minute:
        raise ForbiddenError("A key makes only keys that are as slow as itself.")
    return wanted


def _end_of(caller: Principal, keys: Keys) -> datetime | None:
    return None if caller.key_id in (None, BOOTSTRAP.key_id) else keys.get(str(caller.key_id)).expires_at


def _end(own: datetime | None, wanted: datetime | None) -> datetime | None:
    if wanted is None or own is None:
        return wanted or own
    if wanted > own:
        raise ForbiddenError("A key makes only keys that end no later than itself.")
    return wanted
