import pytest
import typer

from pipelines.core.settings import Settings
from services.cli.fields import parse_fields

SETTINGS = Settings.model_validate({"index": {"metadata_fields": {"year": "integer", "score": "float"}}})


def test_values_are_text_unless_declared_as_numbers() -> None:
    fields = parse_fields(["code=007", "year=2008", "score=1.5", "note=a=b", "empty="], SETTINGS, "--metadata")
    assert fields == {"code": "007", "year": 2008, "score": 1.5, "note": "a=b", "empty": ""}


def test_a_key_given_again_has_all_values() -> None:
    assert parse_fields(["a=1", "a=2", "a=3"], SETTINGS, "--filter") == {"a": ("1", "2", "3")}


@pytest.mark.parametrize("pair", ["", "=", "=value", "key", " =x", "year=soon"])
def test_what_is_no_field_is_refused(pair: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_fields([pair], SETTINGS, "--metadata")
