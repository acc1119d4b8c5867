"""The question path, and in `pipelines.core` what both flows stand on."""

import logging
import os

# Read by Haystack when it is imported: nothing leaves the machine that was not configured to.
os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "false")

# Where structlog is installed Haystack would log by a handler of its own, past what the processes' log leaves out.
os.environ.setdefault("HAYSTACK_LOGGING_IGNORE_STRUCTLOG", "true")

# Read when PyTorch is loaded: its threads sleep while they wait for each other's share of a layer. By default they
# spin, and where another process wants the processor, every layer waits until a spinning thread is interrupted.
# Embedding one question in a loop took 45 ms of processor and 68 ms, asleep 6 ms and 9 ms (MiniLM, two cores that other
# processes kept busy, one run, November 2026). On cores that are free there is little between them.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Haystack tries to save what a failed pipeline was given, and warns of every value that it cannot: ours, on purpose.
logging.getLogger("haystack.utils.base_serialization").setLevel(logging.ERROR)
