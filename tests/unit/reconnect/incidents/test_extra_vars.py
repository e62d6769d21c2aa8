"""Variables from the command line: what Ansible gets, and what it never gets."""

from __future__ import annotations

from pathlib import Path

import pytest
from reconnect.errors import InputError
from reconnect.incidents import extra_vars
from reconnect.runs.request import DIAGNOSE


def test_ansible_gets_the_words_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yml").write_text("site: milan\nsite_password: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\n")
    words = ["ansible_user=ops site='a b'", '{"rack": {"row": 7}}', "@own.yml"]
    assert extra_vars.checked(words, DIAGNOSE) == [*words[:2], f"@{tmp_path / 'own.yml'}"]


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("reconnect_apply=true", "--extra-vars does not set 'reconnect_apply'. Use --apply."),
        ('{"site": 1, "reconnect_ask": []}', "does not set 'reconnect_ask'. Set it in the inventory"),
        ("site=1 ansible_become_password=x", "'ansible_become_password' is a secret. Do not type it"),
        ('{"sites": [{"ansible_password": "x"}]}', "'ansible_password' is a secret. Do not type it"),
        (r"recon\x6eect_apply=true", "has a backslash. Give a map in JSON, or @FILE."),
        (r"a=b\ reconnect_apply=true", "has a backslash."),
        (" {a: b reconnect_apply=true}", "has no variables."),
        ('{"a": &a [*a, {"api_token": 1}]}', "'api_token' is a secret."),
        ("site", "'site' has no variables. Give KEY=VALUE, a map in JSON, or @FILE."),
        ("", "'' has no variables."),
        ("'", "no closing quotation. Give KEY=VALUE"),
        ("a-b=1", "'a-b' is not the name of a variable."),
        ("--check=1", "'--check' is not the name of a variable."),
        ("{", "what was typed is no map of variables"),
        ("@missing.yml", "Cannot find the file of variables"),
        ("@list.yml", "is no map of variables."),
        ("@ours.yml", "does not set 'reconnect_run_id'."),
        ("@vault.yml", "is encrypted as a whole, so its names cannot be checked."),
        ("@large.yml", "is larger than 1024 KiB."),
        ("@binary.yml", "is no UTF-8 text. Save it as UTF-8."),
    ],
)
def test_what_is_invalid_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.yml").write_text("[a, b]")
    (tmp_path / "ours.yml").write_text("? reconnect_run_id\n: x")
    (tmp_path / "vault.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n6162\n")
    (tmp_path / "large.yml").write_text("a: " + "x" * extra_vars.MAX_BYTES)
    (tmp_path / "binary.yml").write_bytes(b"\xff")
    with pytest.raises(InputError) as caught:
        extra_vars.checked([word], DIAGNOSE)
    assert sentence in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
