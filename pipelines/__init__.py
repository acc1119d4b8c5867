"""The question path, and in `pipelines.core` what both flows stand on."""

import os

# Read by Haystack when it is imported: nothing leaves the machine that was not configured to.
os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "false")
