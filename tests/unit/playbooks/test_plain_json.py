# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server or a client said is read as plain JSON."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.privatewave.reconnect.plugins.filter.plain_json import FilterModule

ROOT = Path(__file__).parents[3]
COLLECTION = ROOT / "collections/ansible_collections/privatewave/reconnect"


@pytest.mark.attack("keys in what a server said that Ansible acts on", harm="wrong")
def test_nothing_is_read_by_the_filter_that_makes_values_of_ansible() -> None:
    files = [path for room in ("playbooks", "roles") for path in (COLLECTION / room).rglob("*.yml")]
    assert [path.name for path in files if "| from_json" in path.read_text(encoding="utf-8")] == []


#: The reader itself, and what reads its own documents, or what the command on this machine says.
OWN = {"_common.py", "_carried.py", "activation.py", "command.py", "publish_verdict.py", "reconnect.py"}


@pytest.mark.attack("numbers in what a server or a client said that JSON does not have", harm="wrong")
@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_none_is_refused(number: str) -> None:
    with pytest.raises(AnsibleFilterError, match=f"This is not JSON: {number} is not a finite number"):
        FilterModule().filters()["plain_json"](f'{{"settings": {{"port": {number}}}}}')


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_of_windows_is_read(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_bytes('{\r\n"error_message": "ungültig"}'.encode(encoding))
    # As Ansible's own lookup gives it.
    text = (tmp_path / "report.json").read_text(encoding="utf-8", errors="surrogateescape")
    assert FilterModule().filters()["plain_json"](text) == {"error_message": "ungültig"}


def test_whatever_a_stranger_says_is_read_so() -> None:
    files = [path for room in ("plugins", "extensions") for path in (COLLECTION / room).rglob("*.py")]
    assert {path.name for path in files if "json.load" in path.read_text(encoding="utf-8")} == OWN
    wrapper = ROOT / "python_wrapper/reconnect"
    rooms = [wrapper / "incidents", wrapper / "service/incoming"]
    files = [path for room in rooms for path in room.rglob("*.py")]
    assert [path.name for path in files if "json.load" in path.read_text(encoding="utf-8")] == []
