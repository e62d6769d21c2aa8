# SPDX-License-Identifier: GPL-3.0-or-later
"""The JSON Schema of a TypedDict accepts what the TypedDict describes, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import Failed, Probe, answered, failed
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.schemas import DIALECT, schema_of
from jsonschema import Draft202012Validator


class Disk(TypedDict):
    """A disk; sizes in bytes."""

    path: str
    size: int
    share: float
    read_only: bool


class Named(TypedDict, total=False):
    error: str


class Host(Named):
    state: Literal["up", "down"]
    kind: Literal["host"]
    owner: str | None
    disks: list[Disk]
    units: dict[str, Disk]
    ports: list[tuple[int, int]]
    other: Any


class Folder(TypedDict):
    folders: list[Folder]


class Round(TypedDict):
    load: Probe[Disk]
    names: Probe[list[str]]


DISK = {"path": "/", "size": 1, "share": 0.5, "read_only": False}
HOST = {
    "state": "up",
    "kind": "host",
    "owner": None,
    "disks": [DISK],
    "units": {"a": DISK},
    "ports": [[1, 2]],
    "other": {"x": 1},
}


def errors(document: Any, value: object) -> list[str]:
    schema = schema_of(document)
    Draft202012Validator.check_schema(schema)
    return [error.message for error in Draft202012Validator(schema).iter_errors(value)]


@pytest.mark.parametrize("change", [{}, {"owner": "root"}, {"error": "it does not answer"}, {"ports": []}])
def test_a_document_of_the_described_shape_is_valid(change: Mapping[str, Any]) -> None:
    assert errors(Host, {**HOST, **change}) == []


@pytest.mark.parametrize(
    "change",
    [
        {"state": "sideways"},
        {"kind": "server"},
        {"owner": 1},
        {"disks": [{**DISK, "size": "1"}]},
        {"disks": [{**DISK, "read_only": 0}]},
        {"units": {"a": {**DISK, "more": 1}}},
        {"ports": [[1]]},
        {"ports": [[1, 2, 3]]},
        {"error": None},
        {"unknown": 1},
    ],
)
def test_a_wrong_value_is_invalid(change: Mapping[str, Any]) -> None:
    assert errors(Host, {**HOST, **change}) != []


@pytest.mark.parametrize("field", HOST)
def test_every_field_without_total_false_is_required(field: str) -> None:
    assert errors(Host, {name: value for name, value in HOST.items() if name != field}) != []


def test_nested_documents_stand_once_under_their_room_and_name() -> None:
    schema = schema_of(Host)
    assert schema["$schema"] == DIALECT
    assert schema["$ref"] == "#/$defs/test_schemas.Host"
    assert list(schema["$defs"]) == ["test_schemas.Host", "test_schemas.Disk"]
    disk = schema["$defs"]["test_schemas.Disk"]
    assert disk["description"] == "A disk; sizes in bytes."
    assert disk["required"] == ["path", "size", "share", "read_only"]


def test_a_document_may_hold_documents_of_its_own_kind() -> None:
    assert errors(Folder, {"folders": [{"folders": []}]}) == []
    assert errors(Folder, {"folders": [{"folders": [1]}]}) != []


def test_a_probe_is_answered_with_its_data_or_failed() -> None:
    good = {"load": answered(DISK, 0.1), "names": failed("denied", "root only", 0.1)}
    assert errors(Round, good) == []
    assert errors(Round, {**good, "names": answered(["a"], 0.1)}) == []
    assert errors(Round, {**good, "names": answered([1], 0.1)}) != []
    assert errors(Round, {**good, "load": answered({}, 0.1)}) != []
    assert errors(Round, {**good, "load": {"ok": False, "seconds": 0.1, "error": "bored", "message": ""}}) != []
    assert "probe.Failed" in schema_of(Round)["$defs"]
    assert errors(Failed, failed("failed", "REFUSED", rcode="REFUSED")) == []


@pytest.mark.parametrize("kind", [set, bytes, dict[int, str], tuple[int, ...] | bytes])
def test_a_type_without_a_json_form_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match="has no JSON form"):
        schema_of(kind)
