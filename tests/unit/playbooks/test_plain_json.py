# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server or a client said is read as plain JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

COLLECTION = Path(__file__).parents[3] / "collections/ansible_collections/privatewave/reconnect"


@pytest.mark.attack("keys in what a server said that Ansible acts on", harm="wrong")
def test_nothing_is_read_by_the_filter_that_makes_values_of_ansible() -> None:
    files = [path for room in ("playbooks", "roles") for path in (COLLECTION / room).rglob("*.yml")]
    assert [path.name for path in files if "| from_json" in path.read_text(encoding="utf-8")] == []
