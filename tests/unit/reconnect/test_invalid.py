"""What is wrong with what somebody wrote is said in words for who wrote it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator
from reconnect import invalid


class _Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid")

    whole: int = Field(default=1, ge=1, le=9)
    number: float = Field(default=1, gt=0, lt=9, allow_inf_nan=False)
    text: str = Field(default="ab", min_length=2, max_length=3)
    name: str = Field(default="A", pattern="^[A-Z]")
    some: list[int] = Field(default=[1], min_length=1, max_length=2)
    fields: dict[str, int] = {}
    inner: _Inner = _Inner()
    yes: bool = True
    one: Literal["a", "b"] = "a"
    path: Path = Path()
    at: AwareDatetime = datetime.min
    own: str = ""

    @field_validator("own")
    @classmethod
    def _is_empty(cls, value: str) -> str:
        if value:
            raise ValueError("Leave it empty.")
        return value


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"else": 1}, "else: there is no such field"),
        ({"whole": "x"}, "whole: write a whole number"),
        ({"whole": []}, "whole: write a whole number"),
        ({"whole": 1.5}, "whole: write a whole number"),
        ({"whole": 0}, "whole: it must be 1 or more"),
        ({"whole": 10}, "whole: it must be 9 or less"),
        ({"number": "x"}, "number: write a number"),
        ({"number": []}, "number: write a number"),
        ({"number": "nan"}, "number: write a number"),
        ({"number": 0}, "number: it must be more than 0"),
        ({"number": 9}, "number: it must be less than 9"),
        ({"text": 1}, "text: write a text"),
        ({"text": "a"}, "text: it is too short: at least 2"),
        ({"text": "abcd"}, "text: it is too long: at most 3"),
        ({"name": "a"}, "name: it has characters that it cannot have"),
        ({"some": "a"}, "some: write a list"),
        ({"some": ["a"]}, "some.0: write a whole number"),
        ({"some": []}, "some: it is too short: at least 1"),
        ({"some": [1, 2, 3]}, "some: it is too long: at most 2"),
        ({"fields": []}, "fields: write fields, 'name: value'"),
        ({"inner": None}, "inner: write fields, 'name: value'"),
        ({"yes": "maybe"}, "yes: write true or false"),
        ({"yes": []}, "yes: write true or false"),
        ({"one": "c"}, "one: it must be 'a' or 'b'"),
        ({"path": 1}, "path: write a path"),
        ({"at": "2026-01-01 10:00"}, "at: the time needs a time zone, for example 18:00+01:00"),
        ({"at": "soon"}, "at: write a time, for example 2026-12-24 18:00+01:00"),
        ({"at": []}, "at: write a time, for example 2026-12-24 18:00+01:00"),
        ({"own": "x"}, "own: leave it empty"),
    ],
)
def test_a_mistake_is_said_in_words_for_who_made_it(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        _Written.model_validate(given)
    error = caught.value.errors()[0]
    assert f"{invalid.where(error)}: {invalid.in_a_sentence(error)}" == said


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", ""),
        ("a: 1\nb: 1", ""),
        ("a: 1\nb: 1\na: 2", "a"),
        ("x: [{a: 1, a: 2}]", "a"),
        ("x: &x {a: 1}\ny: {<<: *x, a: 2}", ""),
        ("&x [*x]", ""),
    ],
)
def test_a_name_that_stands_in_a_map_twice_is_found(text: str, name: str) -> None:
    assert invalid.twice(yaml.SafeLoader(text).get_single_node()) == name
