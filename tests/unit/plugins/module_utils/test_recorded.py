# SPDX-License-Identifier: GPL-3.0-or-later
"""What real hosts answered, and what is read of it.

Each folder of ``recorded`` is a fact; ``NAME.txt`` is what was answered and ``NAME.json`` what it means.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import ami, answers, log
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import probes as asterisk
from ansible_collections.privatewave.reconnect.plugins.module_utils._database import realtime, sql
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import (
    config,
    disks,
    firewall,
    iptables,
    nftables,
    rules,
    sockets,
    tls_files,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import probes as host

RECORDED = Path(__file__).parent / "recorded"
UNITS = [
    "asterisk.service",
    "mariadb.service",
    "reconnect-provisioning.service",
    "fail2ban.service",
    "ssh.service",
    "sshd.service",
    "absent.service",
]


def _nft(text: str) -> dict[str, Any]:
    ruleset = nftables.parse(text)
    return {
        "sets": firewall.banning_sets(ruleset),
        "foreign": ruleset["foreign"],
        "blocks": rules.blocks(ruleset["chains"]),
    }


#: When what was recorded of Asterisk's logs was written, and by which clock: 2026-11-23 06:00 in UTC.
NOW = 1795413600


def _security(text: str) -> dict[str, Any]:
    events = log.parse_security(text.split("\n"), NOW)
    return {"counts": log.count_events(events), "last": events[-1]}


def _field(line: str) -> tuple[str, str]:
    """A field's name and value; a line without a value ends with its colon."""
    name, colon, value = line.partition(": ")
    return (name, value) if colon else (line[:-1], "")


def _events(text: str) -> list[dict[str, str]]:
    """The events of an answer of AMI."""
    blocks = [block.split("\n") for block in text.split("\n\n") if block.startswith("Event:")]
    events = [dict(_field(line) for line in one if line) for one in blocks]
    return [event for event in events if event.get("EventList") != "Complete"]


PARSERS: dict[str, Callable[[str], object]] = {
    "asterisk_calls": answers.parse_calls,
    "asterisk_contacts_ami": lambda text: answers.parse_ami_contacts(_events(text)),
    "asterisk_contacts_pjsip": answers.parse_pjsip_contacts,
    "asterisk_contacts_sip": answers.parse_sip_contacts,
    "asterisk_endpoint_ami": lambda text: answers.parse_ami_endpoint(_events(text)),
    "asterisk_endpoint_pjsip": answers.parse_pjsip_endpoint,
    "asterisk_endpoint_sip": answers.parse_sip_peer,
    "asterisk_endpoints_ami": lambda text: answers.parse_ami_endpoints(_events(text)),
    "asterisk_endpoints_pjsip": answers.parse_pjsip_endpoints,
    "asterisk_endpoints_sip": answers.parse_sip_endpoints,
    "asterisk_log": lambda text: log.parse_messages(text.split("\n"), 0, NOW),
    "asterisk_logger": lambda text: log.files(config.parse(text)),
    "asterisk_manager": lambda text: ami.parse_manager_conf(config.parse(text)),
    "asterisk_modules": lambda text: answers.parse_modules(
        text,
        [*asterisk.MODULES["pjsip"], *asterisk.MODULES["sip"], *asterisk.REALTIME_MODULES["odbc"], "absent.so"],
    ),
    "asterisk_odbc": answers.parse_odbc,
    "asterisk_realtime": lambda text: realtime.parse_realtime(config.parse(text)),
    "asterisk_security_log": _security,
    "asterisk_taskprocessors": answers.parse_taskprocessors,
    "asterisk_transports_pjsip": answers.parse_pjsip_transports,
    "asterisk_transports_sip": answers.parse_sip_transports,
    "asterisk_uptime": answers.parse_uptime,
    "asterisk_version": answers.parse_version,
    "banned": firewall.parse_banned,
    "ids": tls_files.parse_ids,
    "interfaces": host.parse_interfaces,
    "iptables": lambda text: rules.blocks(iptables.parse(text, 4)),
    "jail": firewall.parse_jail,
    "jails": firewall.parse_jails,
    "kernel_log": lambda text: host.parse_kernel_log(text.splitlines()),
    "memory": host.parse_memory,
    "mounts": disks.parse_mounts,
    "nftables": _nft,
    "odbc_ini": sql.parse_ini,
    "os_release": host.parse_os_release,
    "routes": lambda text: host.parse_routes(text, 4),
    "sockets_tcp": lambda text: sockets.parse_sockets(text, "tcp", 4, "little"),
    "sockets_tcp6": lambda text: sockets.parse_sockets(text, "tcp", 6, "little"),
    "sockets_udp": lambda text: sockets.parse_sockets(text, "udp", 4, "little"),
    "sockets_udp6": lambda text: sockets.parse_sockets(text, "udp", 6, "little"),
    "unit_of_process": sockets.parse_unit,
    "units": lambda text: host.parse_units(text, UNITS),
}
CASES = sorted(path for fact in PARSERS for path in (RECORDED / fact).glob("*.txt"))


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_was_answered_is_understood(path: Path) -> None:
    read = PARSERS[path.parent.name](path.read_text(encoding="utf-8"))
    assert json.loads(json.dumps(read)) == json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("fact", sorted(PARSERS))
def test_every_fact_is_recorded(fact: str) -> None:
    assert list((RECORDED / fact).glob("*.txt"))
