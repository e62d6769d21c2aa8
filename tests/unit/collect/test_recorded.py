# SPDX-License-Identifier: GPL-3.0-or-later
"""What real hosts answered, and what is read of it.

Each folder of ``recorded`` is a fact; ``NAME.txt`` is what was answered and ``NAME.json`` what it means.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils import (
    _ami,
    _asterisk,
    _asterisk_answers,
    _asterisk_log,
    _config,
    _disks,
    _firewall,
    _host,
    _iptables,
    _nftables,
    _rules,
    _sockets,
    _sql,
    _tls_files,
)

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


def _nft(text):
    ruleset = _nftables.parse(text)
    return {
        "sets": _firewall.banning_sets(ruleset),
        "foreign": ruleset["foreign"],
        "blocks": _rules.blocks(ruleset["chains"]),
    }


#: When what was recorded of Asterisk's logs was written, and by which clock: 2026-11-23 06:00 in UTC.
NOW = 1795413600


def _security(text):
    events = _asterisk_log.parse_security(text.split("\n"), NOW)
    return {"counts": _asterisk_log.count_events(events), "last": events[-1]}


def _events(text):
    """The events of an answer of AMI."""
    blocks = [block.split("\n") for block in text.split("\n\n") if block.startswith("Event:")]
    events = [dict(line.split(": ", 1) if ": " in line else (line[:-1], "") for line in one if line) for one in blocks]
    return [event for event in events if event.get("EventList") != "Complete"]


PARSERS = {
    "asterisk_calls": _asterisk_answers.parse_calls,
    "asterisk_contacts_ami": lambda text: _asterisk_answers.parse_ami_contacts(_events(text)),
    "asterisk_contacts_pjsip": _asterisk_answers.parse_pjsip_contacts,
    "asterisk_contacts_sip": _asterisk_answers.parse_sip_contacts,
    "asterisk_endpoint_ami": lambda text: _asterisk_answers.parse_ami_endpoint(_events(text)),
    "asterisk_endpoint_pjsip": _asterisk_answers.parse_pjsip_endpoint,
    "asterisk_endpoint_sip": _asterisk_answers.parse_sip_peer,
    "asterisk_endpoints_ami": lambda text: _asterisk_answers.parse_ami_endpoints(_events(text)),
    "asterisk_endpoints_pjsip": _asterisk_answers.parse_pjsip_endpoints,
    "asterisk_endpoints_sip": _asterisk_answers.parse_sip_endpoints,
    "asterisk_log": lambda text: _asterisk_log.parse_messages(text.split("\n"), 0, NOW),
    "asterisk_logger": lambda text: _asterisk_log.files(_config.parse(text)),
    "asterisk_manager": lambda text: _ami.parse_manager_conf(_config.parse(text)),
    "asterisk_modules": lambda text: _asterisk_answers.parse_modules(
        text, [*_asterisk.MODULES["pjsip"], *_asterisk.MODULES["sip"], "absent.so"]
    ),
    "asterisk_odbc": _asterisk_answers.parse_odbc,
    "asterisk_realtime": lambda text: _asterisk_answers.parse_realtime(_config.parse(text)),
    "asterisk_security_log": _security,
    "asterisk_taskprocessors": _asterisk_answers.parse_taskprocessors,
    "asterisk_transports_pjsip": _asterisk_answers.parse_pjsip_transports,
    "asterisk_transports_sip": _asterisk_answers.parse_sip_transports,
    "asterisk_uptime": _asterisk_answers.parse_uptime,
    "asterisk_version": _asterisk_answers.parse_version,
    "banned": _firewall.parse_banned,
    "ids": _tls_files.parse_ids,
    "interfaces": _host.parse_interfaces,
    "iptables": lambda text: _rules.blocks(_iptables.parse(text, 4)),
    "jail": _firewall.parse_jail,
    "jails": _firewall.parse_jails,
    "kernel_log": lambda text: _host.parse_kernel_log(text.splitlines()),
    "memory": _host.parse_memory,
    "mounts": _disks.parse_mounts,
    "nftables": _nft,
    "odbc_ini": _sql.parse_ini,
    "os_release": _host.parse_os_release,
    "routes": lambda text: _host.parse_routes(text, 4),
    "sockets_tcp": lambda text: _sockets.parse_sockets(text, "tcp", 4, "little"),
    "sockets_tcp6": lambda text: _sockets.parse_sockets(text, "tcp", 6, "little"),
    "sockets_udp": lambda text: _sockets.parse_sockets(text, "udp", 4, "little"),
    "sockets_udp6": lambda text: _sockets.parse_sockets(text, "udp", 6, "little"),
    "unit_of_process": _sockets.parse_unit,
    "units": lambda text: _host.parse_units(text, UNITS),
}
CASES = sorted(path for fact in PARSERS for path in (RECORDED / fact).glob("*.txt"))


@pytest.fixture(autouse=True)
def _utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_was_answered_is_understood(path):
    read = PARSERS[path.parent.name](path.read_text(encoding="utf-8"))
    assert json.loads(json.dumps(read)) == json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("fact", sorted(PARSERS))
def test_every_fact_is_recorded(fact):
    assert list((RECORDED / fact).glob("*.txt"))
