"""What Asterisk can run out of, and a configuration that it cannot read."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge

EVIDENCE = Path(__file__).resolve().parents[5] / "evidence"


@pytest.fixture
def healthy() -> dict[str, Any]:
    return copy.deepcopy(json.loads(gzip.decompress((EVIDENCE / "healthy.pbx22.json.gz").read_bytes())))


def told(evidence: dict[str, Any], code: str) -> tuple[list[str], list[str]]:
    judged = judge.judge(evidence)
    return (
        [one["status"] for one in judged["findings"] if one["code"] == code],
        [one["cause"] for one in judged["verdict"]["root_causes"]],
    )


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        (700, (["pass"], [])),
        (820, (["warn"], [])),
        (995, (["fail"], ["asterisk_files_exhausted"])),
    ],
)
def test_how_many_files_may_be_open(healthy: dict[str, Any], used: int, expected: tuple[list[str], list[str]]) -> None:
    healthy["asterisk"]["process"]["data"].update(open_files=used, open_files_limit=1000)
    assert told(healthy, "asterisk.files") == expected


@pytest.mark.parametrize(
    ("media", "expected"),
    [
        # A stream that opened no port for its reports keeps it from others all the same.
        ({"open": 10, "pairs": 10, "from": 15000, "to": 15019}, (["fail"], ["rtp_ports_exhausted"])),
        ({"open": 16, "pairs": 8, "from": 15000, "to": 15019}, (["warn"], [])),
        ({"open": 10, "pairs": 5, "from": 15000, "to": 15019}, (["pass"], [])),
        # Evidence that was saved before pairs were counted.
        ({"open": 20, "from": 15000, "to": 15019}, (["fail"], ["rtp_ports_exhausted"])),
    ],
)
def test_how_many_media_ports_may_be_taken(
    healthy: dict[str, Any], media: dict[str, int], expected: tuple[list[str], list[str]]
) -> None:
    healthy["asterisk"]["rtp_sockets"]["data"] = media
    assert told(healthy, "asterisk.rtp") == expected


def config_error(
    text: str = "config_options.c: Could not find option suitable", kind: str = "config_error"
) -> dict[str, Any]:
    return {"time": "2026-01-01T00:00:00Z", "level": "ERROR", "kind": kind, "text": text}


def test_a_mistake_in_the_configuration_counts_once_something_is_missing_for_it(healthy: dict[str, Any]) -> None:
    healthy["asterisk"]["log"]["data"]["matches"] = [config_error()]
    assert told(healthy, "asterisk.log.config_error") == (["warn"], [])
    healthy["host"]["sockets"]["data"] = [one for one in healthy["host"]["sockets"]["data"] if one["port"] != 5061]
    assert told(healthy, "asterisk.log.config_error") == (["fail"], ["asterisk_config_invalid"])


def test_what_another_line_gives_the_reason_of_is_no_mistake_in_the_configuration(healthy: dict[str, Any]) -> None:
    healthy["asterisk"]["log"]["data"]["matches"] = [config_error(), config_error("in use", "bind_failed")]
    healthy["host"]["sockets"]["data"] = [one for one in healthy["host"]["sockets"]["data"] if one["port"] != 5061]
    assert told(healthy, "asterisk.log.config_error") == (["warn"], ["transport_not_bound"])
