"""The catalogue and the judge as the command shows them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

EVIDENCE = {
    "schema": "reconnect/evidence/v1",
    "name": "pbx22",
    "taken_at": "2026-01-31T03:00:00Z",
    "seconds": 1.0,
    "settings": {},
    "server": {"ok": False, "seconds": 3.0, "error": "timed_out", "message": "SSH did not answer."},
    "paths": {},
    "client_report": None,
}


@pytest.fixture
def product(workplace):
    """The product's own project."""
    workplace.environment["RECONNECT_PROJECT"] = str(ROOT)
    return workplace


def test_the_catalogue_is_listed_and_explained(product):
    listed = product.reconnect("causes", "--json").json()
    assert len(listed) >= 25
    explained = product.reconnect("causes", "database_stopped")
    assert explained.code == 0
    for words in ("database_stopped", "L2.3", "odbc_disconnected", "policy auto"):
        assert words in explained.stdout
    assert all(cause["name"] in product.reconnect("causes").stdout for cause in listed[:3])


def test_an_unknown_cause_names_its_neighbours(product):
    ended = product.reconnect("causes", "database_stoped")
    assert ended.code == 2
    assert "Near it: database_stopped" in ended.stderr
    assert product.reconnect("causes", "../x").code == 2


def test_saved_evidence_is_judged_without_a_server(product, tmp_path):
    (tmp_path / "evidence.json").write_text(json.dumps(EVIDENCE))
    ended = product.reconnect("judge", str(tmp_path / "evidence.json"), "--json")
    assert ended.code == 10, ended.stderr
    assert ended.json()["verdict"]["outcome"] == "escalate_third_level"
    assert product.reconnect("judge", str(tmp_path / "evidence.json")).stdout.startswith("pbx22  escalate_third_level")


def test_packed_evidence_is_judged_as_well(product, tmp_path):
    packed = gzip.compress(json.dumps(EVIDENCE).encode())
    (tmp_path / "evidence.json.gz").write_bytes(packed)
    assert product.reconnect("judge", str(tmp_path / "evidence.json.gz")).code == 10
    (tmp_path / "cut.json.gz").write_bytes(packed[:-20])
    assert "packed and damaged" in product.reconnect("judge", str(tmp_path / "cut.json.gz")).stderr
    (tmp_path / "bomb.json.gz").write_bytes(gzip.compress(b" " * (80 * 1024 * 1024)))
    assert "larger than 64 MiB" in product.reconnect("judge", str(tmp_path / "bomb.json.gz")).stderr


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is not JSON"),
        ("[]", "holds no fields"),
        ('{"schema": "other"}', "can't be judged"),
        ("[" * 100000, "is not JSON"),
    ],
)
def test_what_is_no_evidence_is_one_sentence(product, tmp_path, content, sentence):
    (tmp_path / "evidence.json").write_text(content)
    ended = product.reconnect("judge", str(tmp_path / "evidence.json"))
    assert (ended.code, ended.stdout) == (2, "")
    assert sentence in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_evidence_that_is_not_there(product):
    assert "can't be read" in product.reconnect("judge", "/nowhere.json").stderr
