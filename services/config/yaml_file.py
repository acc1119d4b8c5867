"""Reads a YAML file into plain values, remembering the line of each. Only YAML's safe types exist here."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipelines.core.errors import ConfigurationError
from services.config.schema import ConfigPath, dotted

MAX_NODES = 100_000
"""Bound on what a file may hold once its aliases are followed; a configuration has hundreds."""
_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


@dataclass(slots=True)
class YamlFile:
    """What a file holds: its values, the line of each (from 1), and what is wrong with it as YAML."""

    data: dict[str, Any]
    lines: dict[ConfigPath, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read(path: Path) -> YamlFile:
    """Reads a file.

    Raises:
        ConfigurationError: it cannot be read, is not YAML, or is not a map of keys.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"The configuration file {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: the file is not UTF-8 text.") from error
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        reader = _Reader(loader, path.name)
        data = reader.value(root, ()) if root is not None else None
    except yaml.YAMLError as error:
        raise ConfigurationError(_syntax_problem(error, path)) from error
    except RecursionError as error:
        raise ConfigurationError(f"{path.name}: values are nested too deeply.") from error
    if data is not None and not isinstance(data, dict):
        raise ConfigurationError(f"{path.name} line 1: the file must hold keys and values such as `stages:`.")
    return YamlFile(data or {}, reader.lines, reader.problems)


class _Reader:
    def __init__(self, loader: yaml.SafeLoader, name: str) -> None:
        self.lines: dict[ConfigPath, int] = {}
        self.problems: list[str] = []
        self._loader = loader
        self._name = name
        self._nodes = 0

    def value(self, node: yaml.Node, path: ConfigPath) -> Any:
        self._nodes += 1
        line = node.start_mark.line + 1
        if self._nodes > MAX_NODES:
            raise ConfigurationError(
                f"{self._name} line {line}: the file holds too much once its aliases are followed."
            )
        self.lines.setdefault(path, line)
        if isinstance(node, yaml.CollectionNode) and node.tag not in _TAGS:
            self.problems.append(f"{self._name} line {line}: `{dotted(path)}`: the tag {node.tag} is not allowed.")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if node.tag == "tag:yaml.org,2002:timestamp":
            return node.value  # Azure's `api_version: 2024-02-01` is text to everybody but YAML
        try:
            return self._loader.construct_object(node)
        except ValueError as error:  # such as `!!int many`
            self.problems.append(f"{self._name} line {line}: `{dotted(path)}`: {error}.")
            return node.value

    def _mapping(self, node: yaml.MappingNode, path: ConfigPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(f"{self._name} line {line}: a key must be a plain word.")
                continue
            key = key_node.value
            place = (*path, key)
            if key in data:
                first = self.lines[place]
                self.problems.append(
                    f"{self._name} line {line}: `{dotted(place)}` is set twice, first in line {first}."
                )
                continue
            self.lines[place] = line
            data[key] = self.value(value_node, place)
        return data


def _syntax_problem(error: yaml.YAMLError, path: Path) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{path.name} line {mark.line + 1}, column {mark.column + 1}: {error.problem or error.context}."
    return f"{path.name}: {str(error).splitlines()[0]}."
