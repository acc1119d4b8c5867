"""Every setting, one section a stage or part. They know no concrete part and do no I/O.

`services.config` loads them from YAML and the environment; each part receives its own section, never the root.
"""

from pipelines.core.roles import ROLES, STAGES, Role, StageName
from pipelines.core.settings.documents import ConvertSettings, IngestSettings, SplitSettings
from pipelines.core.settings.encoders import EncoderSettings, HeadSettings
from pipelines.core.settings.models import LitellmParams, ModelCallSettings, ModelEntry, StageModels
from pipelines.core.settings.questions import (
    AnswerSettings,
    BatchSettings,
    CiteSettings,
    PlanSettings,
    PruneSettings,
    RetrieveSettings,
    SynthesizeSettings,
)
from pipelines.core.settings.root import Settings
from pipelines.core.settings.section import MIB
from pipelines.core.settings.service import ApiSettings, QueueSettings
from pipelines.core.settings.storage import BlobSettings, IndexSettings, StateSettings
from pipelines.core.settings.telemetry import TelemetrySettings, TraceSettings

__all__ = [
    "MIB",
    "ROLES",
    "STAGES",
    "AnswerSettings",
    "ApiSettings",
    "BatchSettings",
    "BlobSettings",
    "CiteSettings",
    "ConvertSettings",
    "EncoderSettings",
    "HeadSettings",
    "IndexSettings",
    "IngestSettings",
    "LitellmParams",
    "ModelCallSettings",
    "ModelEntry",
    "PlanSettings",
    "PruneSettings",
    "QueueSettings",
    "RetrieveSettings",
    "Role",
    "Settings",
    "SplitSettings",
    "StageModels",
    "StageName",
    "StateSettings",
    "SynthesizeSettings",
    "TelemetrySettings",
    "TraceSettings",
]
