"""What people and first level really write: each text has its server, account, answers and settings, or none."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml
from reconnect.ansible.inventory import Inventory
from reconnect.incidents import reading
from reconnect.incidents.trackers.file import FileTracker
from reconnect.names import Incident
from reconnect.settings.trackers import Fields, FileSettings

SERVERS = frozenset({"pbx1", "pbx2", "pbx22", "pbx-roma", "voip.firma.example"})
FOUND = Inventory(Path("/x"), SERVERS | {"printer"}, {"servers": SERVERS})
FIELDS = {name: shown for name, shown in Fields().model_dump().items() if shown}
TEXTS = yaml.safe_load(Path(__file__).with_name("texts.yml").read_text(encoding="utf-8"))


def read(folder: Path, given: dict[str, Any]) -> dict[str, Any]:
    """What an incident comes to: server, account, internet, reconnected, and the client's settings."""
    for name, content in given.pop("files", {}).items():
        (folder / name).write_text(content)
    tracker = FileTracker(Incident("file", str(folder)), FileSettings())
    subject = given.pop("subject", "")
    fields = {FIELDS[name]: text for name, text in given.items()}
    details = dataclasses.replace(tracker.read(), subject=subject, fields=fields)
    tracker.read = lambda: details  # type: ignore[method-assign]
    said = reading.read(tracker, Fields())
    problems = dict(said.problems)
    meant = reading.servers_of(said, [], Fields(), FOUND, problems)
    account = reading.account_of(said, None, True, Fields(), problems)
    facts = {"internet": said.report.internet, "reconnected": said.report.reconnected}
    return {"server": meant[0] if meant else None, "account": account, **facts, **said.report.settings}


@pytest.mark.parametrize(("given", "means"), TEXTS)
def test_a_text_means_what_people_mean(tmp_path: Path, given: dict[str, Any], means: dict[str, Any]) -> None:
    got = read(tmp_path, dict(given))
    assert {name: got.get(name) for name in means} == means
