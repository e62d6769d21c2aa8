"""What is kept of the lab when a host joins it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from labkit import state
from labkit.hosts import HOSTS
from labkit.podman import call


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(state, "STATE", tmp_path)
    monkeypatch.setattr(state, "SECRETS", tmp_path / "secrets.yml")
    monkeypatch.setattr(state, "HOOK_SECRET", tmp_path / "hook_secret")
    monkeypatch.setattr(state, "make_key", make_key)
    return tmp_path


def make_key(path: Path) -> None:
    """A key of a kind that is made in no time."""
    call(["openssl", "genpkey", "-quiet", "-algorithm", "ED25519", "-out", str(path)])


def test_a_host_that_joins_gets_its_own_and_the_others_keep_theirs(folder: Path) -> None:
    state.create()
    files = ("ca.crt", "tls/pbx22/server.crt", "tls/pbx22/server.key", "hostkeys/pbx22", "id_ed25519", "hook_secret")
    before = {name: (folder / name).read_bytes() for name in files}
    secrets: dict[str, Any] = state.read_secrets()

    # As it was before the host existed, made by a lab that did not write down its hosts.
    (folder / "complete").write_text("")
    for name in ("hostkeys/pgsql", "hostkeys/pgsql.pub", "tls/pgsql/server.key", "tls/pgsql/other.key"):
        (folder / name).unlink()
    older = {**secrets, "servers": {name: own for name, own in secrets["servers"].items() if name != "pgsql"}}
    state.keep(state.SECRETS, json.dumps(older))

    state.create()
    assert {name: (folder / name).read_bytes() for name in files} == before
    joined: dict[str, Any] = state.read_secrets()
    assert {name: own for name, own in joined["servers"].items() if name != "pgsql"} == older["servers"]
    assert joined["servers"]["pgsql"]["accounts"].keys() == secrets["servers"]["pgsql"]["accounts"].keys()
    assert joined["tracker"] == secrets["tracker"]
    assert (folder / "tls/pgsql/other.key").exists()
    known = (folder / "known_hosts").read_text().splitlines()
    assert [line.split(",")[0].lstrip("[").partition("]")[0] for line in known] == list(HOSTS)
