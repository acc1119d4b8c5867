"""The heads: which version of each is live, and what of it this process has loaded."""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from pipelines.core.encoders import Head
from pipelines.core.encoders.spec import HeadName
from services.api.auth import Admin
from services.api.context import Ctx
from services.api.problems import responses
from services.heads.live import LiveHead, live_heads

router = APIRouter(prefix="/v1/heads", tags=["heads"])


class LoadedHead(BaseModel):
    """A head at work in the process that answers."""

    version: str
    engine: str = Field(description="What runs it, such as `openvino bfloat16`.")
    memory_bytes: int = Field(description="Its weights, without the word vectors that all heads share.")


class HeadView(BaseModel):
    """A head. `version` is `null` where it is off, or none comes with Strata and none was accepted."""

    name: HeadName
    version: str | None
    source: Literal["builtin", "own"] | None = Field(description="`builtin`: comes with Strata; `own`: trained here.")
    since: datetime | None = Field(description="When an own one was accepted.")
    loaded: LoadedHead | None = Field(
        description="By this process; `null` until a stage asks for it. Follows within `heads.poll_s`."
    )


class HeadList(BaseModel):
    """All heads."""

    heads: list[HeadView]


@router.get("", responses=responses())
def list_heads(context: Ctx, _: Admin) -> HeadList:
    """Lists the heads with the version that is live. They serve all tenants."""
    runtime = context.runtime
    here = runtime.heads.loaded
    found = live_heads(runtime.settings.heads, runtime.head_versions.versions())
    return HeadList(heads=[_view(each, here.get(each.name)) for each in found])


def _view(live: LiveHead, head: Head | None) -> HeadView:
    loaded = head and LoadedHead(version=head.spec.version, engine=head.how, memory_bytes=head.size_bytes)
    return HeadView(name=live.name, version=live.version, source=live.source, since=live.since, loaded=loaded)
