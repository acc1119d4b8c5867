"""Which models there are, which stage uses which, and how they are called."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pipelines.core.roles import StageName
from pipelines.core.settings.section import Seconds, Section


class LitellmParams(BaseModel):
    """LiteLLM's own parameters, passed on as they are; `os.environ/NAME` values are read from the environment."""

    model_config = ConfigDict(extra="allow", frozen=True)

    model: str = Field(description="`provider/model` as LiteLLM names it, or `encoder/NAME`, or `extractive/default`.")


class ModelEntry(Section):
    """One entry of LiteLLM's `model_list`, verbatim, and what Strata adds."""

    model_name: str = Field(min_length=1, description="The name that `stages` and `fallbacks` use.")
    litellm_params: LitellmParams
    model_info: dict[str, Any] = Field(default_factory=dict, description="LiteLLM's `model_info`, verbatim.")
    fallbacks: tuple[str, ...] = Field(
        (), description="Other entries, tried in order when this one cannot be reached. Nothing else is ever tried."
    )


class StageModels(Section):
    """Which model each stage uses: `encoder`, `extractive`, or a `model_name`. A stage left out inherits."""

    default: str = Field(
        "encoder", description="For stages that are not named. `synthesize` reads `encoder` as `extractive`."
    )
    plan: str | None = Field(None, description="Makes the question stand alone and writes search queries.")
    prune: str | None = Field(None, description="Keeps the sentences that carry evidence.")
    synthesize: str | None = Field(None, description="Writes the answer: the one large call.")
    cite: str | None = Field(None, description="Binds claims to source sentences.")

    def of(self, stage: StageName) -> str:
        """The model name that a stage uses, inheritance applied."""
        name = getattr(self, stage) or self.default
        return "extractive" if (stage, name) == ("synthesize", "encoder") else name


class ModelCallSettings(Section):
    """How models are called through LiteLLM."""

    timeout_s: Seconds = Field(30.0, description="Bound on one call, and on the wait for a stream's next piece.")
    retries: int = Field(1, ge=0, le=5, description="Further tries of a call that failed in a way that may pass.")
    max_output_tokens: int = Field(1024, gt=0, description="Bound on what a model may write in one call.")
