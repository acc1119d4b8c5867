"""Reads settings from environment variables: `STRATA_RETRIEVE__TOP_K=30`."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.config.schema import ENV_PREFIX, ConfigPath, annotation_at, env_name, is_container, nearest

FILE_VARIABLE = "STRATA_CONFIG"

# What Kubernetes sets in every pod for a service whose name begins with `strata`: STRATA_API_PORT=tcp://10.0.0.7:80
_SERVICE_LINK = re.compile(
    r"STRATA(_[A-Z0-9]+)*?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9]+)*|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


@dataclass(frozen=True, slots=True)
class EnvValue:
    """A variable that sets a key."""

    name: str
    path: ConfigPath
    value: Any


def read(environ: Mapping[str, str]) -> tuple[list[EnvValue], list[str]]:
    """The settings in the environment, whole sections before single keys, and what is wrong with them.

    Empty variables count as not set. `STRATA_TEST_…` belongs to the tests.
    """
    values: list[EnvValue] = []
    problems: list[str] = []
    for name in sorted(environ, key=lambda name: (name.count("__"), name)):
        if not name.startswith(ENV_PREFIX) or not environ[name] or _is_foreign(name):
            continue
        path: ConfigPath = tuple(name.removeprefix(ENV_PREFIX).lower().split("__"))
        annotation = annotation_at(path)
        if annotation is None:
            problems.append(_unknown(name, path))
        elif not is_container(annotation):
            values.append(EnvValue(name, path, environ[name]))
        else:
            try:
                values.append(EnvValue(name, path, json.loads(environ[name])))
            except ValueError as error:
                problems.append(f"environment variable {name}: the value must be JSON, but is not: {error}.")
    return values, problems


def _is_foreign(name: str) -> bool:
    if name == FILE_VARIABLE or name.startswith("STRATA_TEST_"):
        return True
    return "__" not in name and _SERVICE_LINK.fullmatch(name) is not None


def _unknown(name: str, path: ConfigPath) -> str:
    depth = next(depth for depth in range(1, len(path) + 1) if annotation_at(path[:depth]) is None)
    if depth > 1 and path[0] == "models":
        return f"environment variable {name}: entries of `models` cannot be set one by one; give JSON in STRATA_MODELS."
    near = _by_underscores(path) or nearest(path[:depth])
    near_name = env_name((*near.split("."), *path[depth:])) if near else None
    return f"environment variable {name} sets no known key" + (f"; did you mean {near_name}?" if near_name else ".")


def _by_underscores(path: ConfigPath) -> str | None:
    """`STRATA_RETRIEVE_TOP_K`, written with one underscore where two belong."""
    words = str(path[0]).split("_")
    for cut in range(1, len(words)):
        candidate = ("_".join(words[:cut]), "_".join(words[cut:]))
        if len(path) == 1 and annotation_at(candidate) is not None:
            return ".".join(candidate)
    return None
