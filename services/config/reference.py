"""Writes the reference page of the configuration: `python -m services.config.reference > docs/configuration.md`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from pipelines.core.settings import MIB, LitellmParams, ModelEntry, Settings
from services.config.schema import ConfigPath, describe_type, description, dotted, env_name, section_of

HEAD = """\
# Configuration

<!-- Written by `python -m services.config.reference`. Edit the descriptions in pipelines/core/settings/ instead. -->

Strata needs no configuration: without any, it answers from quotes with the models in its own process, and nothing
leaves the machine. What you set comes from one YAML file and from the environment.

```yaml
models:                      # LiteLLM model_list entries, as LiteLLM's own documentation writes them
  - model_name: small
    litellm_params: {model: gemini/gemini-2.5-flash, api_key: os.environ/GEMINI_API_KEY}
  - model_name: large
    litellm_params: {model: gemini/gemini-2.5-pro, api_key: os.environ/GEMINI_API_KEY}
    fallbacks: [small]
stages:                      # which model does what; a stage that is not named inherits `default`
  default: encoder
  plan: small
  synthesize: large
```

- **The file** is the one given on the command line, else the one that `STRATA_CONFIG` names, else `strata.yaml` in the
  current folder.
- **The environment** wins over the file. A key's variable is `STRATA_` and its path in capitals with two underscores
  between the parts: `retrieve.top_k` is `STRATA_RETRIEVE__TOP_K`. Lists, maps and whole sections are written as JSON:
  `STRATA_INDEX__METADATA_FIELDS={"year": "integer"}`. An empty variable counts as not set.
- **Secrets** in `litellm_params` are best named, not written: `os.environ/NAME` is read from the environment when the
  model is called.
- **Mistakes** are refused at start, all at once, each with its line:
  ``strata.yaml line 7: unknown key `retreive`; did you mean `retrieve`?``

`strata config check` prints what is in force.
"""


def render() -> str:
    """The whole page, as Markdown."""
    plain = [(name, field) for name, field in Settings.model_fields.items() if not _entered(field)]
    lines = [HEAD, "## Top level", "", *_table(plain, ())]
    for name, field in Settings.model_fields.items():
        if section := section_of(field.annotation):
            lines += ["", f"## `{name}`", "", description(field), "", *_table(section.model_fields.items(), (name,))]
        elif name == "models":
            lines += ["", "## `models`", "", *_models()]
    return "\n".join(lines) + "\n"


def _models() -> Iterator[str]:
    yield "A list. Each entry:"
    yield ""
    yield from _table(ModelEntry.model_fields.items(), ("models", 0), variables=False)
    yield ""
    yield "In `litellm_params`, beside any other parameter of LiteLLM:"
    yield ""
    yield from _table(LitellmParams.model_fields.items(), ("models", 0, "litellm_params"), variables=False)
    yield ""
    yield "From the environment: the whole list as JSON in `STRATA_MODELS`."


def _table(fields: Any, path: ConfigPath, *, variables: bool = True) -> Iterator[str]:
    yield "| key | what | value | default |" + (" variable |" if variables else "")
    yield "|---|---|---|---|" + ("---|" if variables else "")
    for name, field in fields:
        place = (*path, name)
        key = dotted(place).replace("[0]", "[]")
        cells = [f"`{key}`", description(field), describe_type(field), _default(field)]
        if variables:
            cells.append(f"`{env_name(place)}`")
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ((), {}, []):
        return "empty"
    if isinstance(value, SecretStr | BaseModel):
        return "set"
    if isinstance(value, int) and value >= MIB and value % MIB == 0:
        return f"`{value}` ({value // MIB} MiB)"
    text = str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
    return f"`{text}`"


def _entered(field: FieldInfo) -> bool:
    return section_of(field.annotation) is not None or field.annotation == tuple[ModelEntry, ...]


def write_page(page: str, arguments: list[str]) -> None:
    """Writes a generated page to the file that the command line names, else to standard output."""
    if arguments:
        Path(arguments[0]).write_text(page, encoding="utf-8")
    else:
        sys.stdout.write(page)


if __name__ == "__main__":
    write_page(render(), sys.argv[1:])
