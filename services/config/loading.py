"""From a file and the environment to `Settings`; every problem is reported at once, each with its place."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines.core.errors import ConfigurationError
from pipelines.core.settings import Settings
from services.config import environment, yaml_file
from services.config.problems import explain
from services.config.schema import ConfigPath, annotation_at, is_container, section_of

DEFAULT_FILE = Path("strata.yaml")


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """The settings, and where each came from.

    Attributes:
        path: The file that was read, `None` where there is none.
        lines: Lines of the file by path, from 1.
        variables: Environment variables by the path that they set.
    """

    settings: Settings
    path: Path | None
    lines: Mapping[ConfigPath, int]
    variables: Mapping[ConfigPath, str]

    def line_of(self, path: ConfigPath) -> int | None:
        """The line that sets a key, or the section around it; `None` where the file has neither."""
        return _nearest_line(self.lines, path)

    def where(self, path: ConfigPath) -> str:
        """Where a value came from, to begin an error with: `strata.yaml line 7`, or the environment variable."""
        return _where(path, self.path, self.lines, self.variables)


def load(path: Path | None = None, environ: Mapping[str, str] | None = None) -> LoadedConfig:
    """Loads the settings. The environment wins over the file, the file over the defaults.

    Args:
        path: The file; without it the one that STRATA_CONFIG names, else `strata.yaml` in this folder if it exists.
        environ: Instead of the process's environment.

    Raises:
        ConfigurationError: naming every problem with file, line and key, and the nearest right key.
    """
    environ = os.environ if environ is None else environ
    file_path = _file(path, environ)
    file = yaml_file.read(file_path) if file_path else yaml_file.YamlFile({})
    values, env_problems = environment.read(environ)
    data = file.data
    variables: dict[ConfigPath, str] = {}
    for value in values:
        _set(data, value.path, value.value)
        variables[value.path] = f"environment variable {value.name}"
    problems = [*file.problems, *env_problems]
    try:
        settings = Settings.model_validate(_without_empty(data))
    except ValidationError as error:
        problems += explain(error, lambda place: _where(place, file_path, file.lines, variables))
    if problems:
        count = f"The configuration has {len(problems)} problems:\n" if len(problems) > 1 else ""
        raise ConfigurationError(count + "\n".join(problems))
    return LoadedConfig(settings, file_path, file.lines, variables)


def _file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    if path is not None:
        return path
    if named := environ.get(environment.FILE_VARIABLE):
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def _set(data: dict[str, Any], path: ConfigPath, value: Any) -> None:
    """Sets one key; a map is laid over the one that is there."""
    for part in path[:-1]:
        inner = data.get(str(part))
        if not isinstance(inner, dict):
            inner = data[str(part)] = {}
        data = inner
    key = str(path[-1])
    if isinstance(value, dict) and isinstance(data.get(key), dict):
        for name, item in value.items():
            _set(data[key], (name,), item)
    else:
        data[key] = value


def _without_empty(data: Any, path: ConfigPath = ()) -> Any:
    """Leaves out sections and lists whose lines are all commented out: YAML reads them as null."""
    if not isinstance(data, dict) or section_of(annotation_at(path)) is None:
        return data
    return {
        name: _without_empty(value, (*path, name))
        for name, value in data.items()
        if value is not None or not is_container(annotation_at((*path, name)))
    }


def _where(
    path: ConfigPath, file: Path | None, lines: Mapping[ConfigPath, int], variables: Mapping[ConfigPath, str]
) -> str:
    for length in range(len(path), 0, -1):
        if variable := variables.get(path[:length]):
            return variable
        if file is not None and path[:length] in lines:
            return f"{file.name} line {lines[path[:length]]}"
    return file.name if file is not None else "the environment"


def _nearest_line(lines: Mapping[ConfigPath, int], path: ConfigPath) -> int | None:
    return next((lines[path[:length]] for length in range(len(path), 0, -1) if path[:length] in lines), None)
