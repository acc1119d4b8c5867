"""What each process of the distributed form runs, after `strata`: the cluster of the tests starts these, and tests hold
`compose.yaml` and the Helm chart to them."""

from pipelines.core.settings import ROLES

SERVE = ("serve",)
MIGRATE = ("migrate",)
WORKERS = {role: ("worker", role) for role in ROLES}
