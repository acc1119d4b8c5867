"""The question path, and in `pipelines.core` what both flows stand on."""

import logging
import os

# Read by Haystack when it is imported: nothing leaves the machine that was not configured to.
os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "false")

# Where structlog is installed Haystack would log by a handler of its own, past what the processes' log leaves out.
os.environ.setdefault("HAYSTACK_LOGGING_IGNORE_STRUCTLOG", "true")

# Haystack tries to save what a failed pipeline was given, and warns of every value that it cannot: ours, on purpose.
logging.getLogger("haystack.utils.base_serialization").setLevel(logging.ERROR)
