# SPDX-License-Identifier: GPL-3.0-or-later
"""A client's documents compared with what they should be: a stale one is shown field by field, without secrets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._account import client_documents
from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import (
    ComparedDocuments,
    RenderedDocument,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

XML = '<config xmlns="http://x"><section name="auth_info_0"><entry name="passwd">{}</entry></section></config>'


def document(port: int, password: str) -> str:
    return json.dumps({"account": {"username": "1001", "password": password}, "server": {"port": port}})


@pytest.fixture
def compare(tmp_path: Path) -> Callable[..., ComparedDocuments]:
    home = tmp_path / "accounts" / "1001"
    home.mkdir(parents=True)

    def run(*wanted: tuple[str, str], **there: str) -> ComparedDocuments:
        for name, content in there.items():
            (home / name.replace("_", ".")).write_text(content)
        asked: list[RenderedDocument] = [
            {"username": "1001", "name": name, "content": content} for name, content in wanted
        ]
        return client_documents.compare(str(tmp_path), asked)

    return run


def test_the_same_is_the_same(compare: Callable[..., ComparedDocuments]) -> None:
    found = compare(("a.json", document(1, "p")), a_json=document(1, "p"))
    assert found == {"documents": [{"name": "a.json", "state": "same"}], "diff": {"before": "", "after": ""}}


def test_what_differs_is_told_and_secrets_are_masked(compare: Callable[..., ComparedDocuments]) -> None:
    found = compare(
        ("a.json", document(5061, "new-canary")),
        ("b.xml", XML.format("new-canary")),
        a_json=document(5071, "old-canary"),
        b_xml=XML.format("old-canary"),
    )
    assert [one["state"] for one in found["documents"]] == ["stale", "stale"]
    assert found["diff"]["before"].splitlines() == [
        *("a.json", "  account.password: ********", "  server.port: 5071"),
        *("b.xml", "  auth_info_0.passwd: ********"),
    ]
    assert "  account.password: ******** (changed)" in found["diff"]["after"].splitlines()
    assert "canary" not in json.dumps(found)


def test_one_that_nobody_was_given_is_missing_and_its_fields_come(compare: Callable[..., ComparedDocuments]) -> None:
    found = compare(("a.json", document(5061, "canary")))
    assert found["documents"] == [{"name": "a.json", "state": "missing"}]
    assert found["diff"] == {
        "before": "",
        "after": "a.json\n  account.password: ********\n  account.username: 1001\n  server.port: 5061",
    }


def test_one_that_is_broken_is_stale_and_never_quoted(compare: Callable[..., ComparedDocuments]) -> None:
    found = compare(("a.json", document(1, "p")), a_json="{ canary")
    assert found["documents"][0]["state"] == "stale"
    assert "canary" not in json.dumps(found)


@pytest.mark.parametrize("name", ["../passwd", ".hidden", "a/b.json"])
def test_a_name_that_is_none_is_no_path(compare: Callable[..., ComparedDocuments], name: str) -> None:
    with pytest.raises(ProbeError):
        compare((name, "x"))
