"""The catalogue and the judge as the command shows them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from ..conftest import Workplace

ROOT = Path(__file__).resolve().parents[4]

EVIDENCE = {
    "schema": "reconnect/evidence/v1",
    "name": "pbx22",
    "taken_at": "2026-01-31T03:00:00Z",
    "seconds": 1.0,
    "settings": {},
    "server": {"ok": False, "seconds": 3.0, "error": "timed_out", "message": "SSH did not answer."},
    "paths": {},
    "host": {},
    "asterisk": {},
    "database": {},
    "account": {},
    "client_report": None,
}


@pytest.fixture
def product(workplace: Workplace) -> Workplace:
    """The product's own project."""
    workplace.environment["RECONNECT_PROJECT"] = str(ROOT)
    return workplace


def test_the_catalogue_is_listed_and_explained(product: Workplace) -> None:
    listed = product.reconnect("causes", "--json").json()
    assert len(listed) >= 25
    explained = product.reconnect("causes", "database_stopped")
    assert explained.code == 0
    for words in ("database_stopped", "L2.3", "odbc_disconnected", "policy auto"):
        assert words in explained.stdout
    assert all(cause["name"] in product.reconnect("causes").stdout for cause in listed[:3])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_evidence_that_an_editor_saved_is_judged(product: Workplace, tmp_path: Path, encoding: str) -> None:
    (tmp_path / "evidence.json").write_bytes(json.dumps(EVIDENCE).encode(encoding))
    ended = product.reconnect("judge", str(tmp_path / "evidence.json"))
    assert (ended.code, ended.stdout.split()[0]) == (10, "pbx22"), ended.stderr


def test_an_unknown_cause_names_its_neighbours(product: Workplace) -> None:
    ended = product.reconnect("causes", "database_stoped")
    assert ended.code == 2
    assert "Near it: database_stopped" in ended.stderr
    assert product.reconnect("causes", "../x").code == 2


def test_saved_evidence_is_judged_without_a_server(product: Workplace, tmp_path: Path) -> None:
    (tmp_path / "evidence.json").write_text(json.dumps(EVIDENCE))
    ended = product.reconnect("judge", str(tmp_path / "evidence.json"), "--json")
    assert ended.code == 10, ended.stderr
    assert ended.json()["verdict"]["outcome"] == "escalate_third_level"
    assert product.reconnect("judge", str(tmp_path / "evidence.json")).stdout.startswith("pbx22  escalate_third_level")


def test_packed_evidence_is_judged_as_well(product: Workplace, tmp_path: Path) -> None:
    packed = gzip.compress(json.dumps(EVIDENCE).encode())
    (tmp_path / "evidence.json.gz").write_bytes(packed)
    assert product.reconnect("judge", str(tmp_path / "evidence.json.gz")).code == 10
    (tmp_path / "cut.json.gz").write_bytes(packed[:-20])
    assert "The compressed evidence" in product.reconnect("judge", str(tmp_path / "cut.json.gz")).stderr
    (tmp_path / "bomb.json.gz").write_bytes(gzip.compress(b" " * (80 * 1024 * 1024)))
    assert "larger than 8 MiB" in product.reconnect("judge", str(tmp_path / "bomb.json.gz")).stderr


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is not JSON"),
        ("[]", "has no fields"),
        ('{"schema": "other"}', "Cannot judge"),
        ("[" * 100000, "is not JSON"),
        ('{"a": [' + "{}," * 250_000 + "0]}", "has more than 200000 values"),
    ],
)
def test_what_is_no_evidence_is_one_sentence(product: Workplace, tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "evidence.json").write_text(content)
    ended = product.reconnect("judge", str(tmp_path / "evidence.json"))
    assert (ended.code, ended.stdout) == (2, "")
    assert sentence in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_evidence_that_is_not_there(product: Workplace) -> None:
    assert "Cannot read" in product.reconnect("judge", "/nowhere.json").stderr
