# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter reads what a webhook is about, and takes no name that cannot be one."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.extensions.eda.plugins.event_filter import incident
from reconnect.settings.trackers import EXAMPLES


def about(incident_name: str = "", server: str = "", account: str = "") -> dict[str, str]:
    return {"incident": incident_name, "server": server, "account": account}


@pytest.mark.parametrize(
    ("payload", "wanted"),
    [
        ({"ticket": 17}, about("rt:17")),
        ({"ticket": {"id": 17}, "article": {"body": "x"}}, about("zammad:17")),
        ({"issue": {"key": "VOIP-17"}}, about("jira:VOIP-17")),
        ({"sys_id": "ab", "sys_mod_count": 1, "number": "INC0017"}, about("servicenow:INC0017")),
        (
            {
                "alerts": [
                    {"status": "resolved", "labels": {"instance": "no"}},
                    {
                        "status": "firing",
                        "labels": {"instance": "pbx1.example.com:9100", "account": "1005"},
                        "annotations": {"incident": "rt:17"},
                    },
                ]
            },
            about("rt:17", "pbx1.example.com", "1005"),
        ),
        ({"incident": "jira:VOIP-17", "server": "pbx1", "account": "+39055"}, about("jira:VOIP-17", "pbx1", "+39055")),
    ],
    ids=["rt", "zammad", "jira", "servicenow", "alertmanager", "plain"],
)
def test_each_payload_says_what_it_is_about(payload: dict[str, Any], wanted: Any) -> None:
    event = {"payload": payload, "meta": {"endpoint": "x"}}
    assert incident.main(event) == {**event, "reconnect": wanted}


@pytest.mark.parametrize("example", [one.replace("…", "17") for one in EXAMPLES if not one.startswith("file:")])
def test_an_incident_of_every_tracker_is_read(example: str) -> None:
    assert incident.main({"payload": {"incident": example}})["reconnect"] == about(example)


@pytest.mark.attack("a payload with names that are patterns, templates, options or paths", harm="breach")
@pytest.mark.parametrize(
    "payload",
    [
        {"incident": "rt:17; rm -rf /"},
        {"incident": "file:/etc/passwd"},
        {"incident": "file:passwd"},
        {"incident": "webhook:desk/../17"},
        {"incident": "webhook:desk/17/18"},
        {"server": "all:!x", "account": "{{ lookup('pipe', 'id') }}"},
        {"server": "-e", "account": "../x"},
        {"ticket": {"id": "{{ 1 }}"}},
        {"alerts": [{"status": "firing", "labels": {"instance": "pbx1\nroot"}}]},
        {"alerts": ["x", {"status": "firing", "labels": 1}]},
        {"issue": {}, "server": 1},
        {},
        [],
        "text",
        None,
    ],
)
def test_what_cannot_be_a_name_is_not_passed_on(payload: str | dict[str, Any] | list[Any] | None) -> None:
    assert incident.main({"payload": payload}) == {"payload": payload}


def test_the_label_of_the_server_is_the_sites_choice() -> None:
    alert = {"status": "firing", "labels": {"pbx": "pbx1", "instance": "exporter:9100"}}
    assert incident.main({"payload": {"alerts": [alert]}}, "pbx")["reconnect"] == about(server="pbx1")
