# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules as a playbook calls them: arguments in, JSON out."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.privatewave.reconnect.plugins.modules import path_info, sip_register

REGISTER = {"account": "1001", "password": "s3cret-canary", "domain": "pbx.example", "server": "127.0.0.1", "port": 1}


Call = Callable[..., tuple[dict[str, Any], str | int | None]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """call(module, arguments, check_mode): what a module answers, and its exit status."""

    def run(
        module: ModuleType, arguments: dict[str, Any], check_mode: bool = False
    ) -> tuple[dict[str, Any], str | int | None]:
        with patch_module_args(dict(arguments, _ansible_check_mode=check_mode)), pytest.raises(SystemExit) as ended:
            module.main()
        return json.loads(capsys.readouterr().out), ended.value.code

    return run


def test_path_info_answers_for_every_target(call: Call) -> None:
    answer, status = call(
        path_info,
        {
            "vantage": "here",
            "targets": [
                {"name": "a", "addresses": ["127.0.0.1"], "transports": [{"transport": "udp", "port": 1}]},
                {"name": "b", "addresses": ["::1"]},
            ],
        },
    )
    assert status == 0
    assert answer["changed"] is False
    assert answer["paths"]["a"]["data"]["sip"]["udp:127.0.0.1:1"]["error"] == "refused"
    assert answer["paths"]["b"]["data"]["vantage"] == "here"


@pytest.mark.parametrize(
    "target",
    [
        {"name": "a", "addresses": ["pbx.example"]},
        {"addresses": []},
        {"name": "a", "transports": [{"transport": "sctp", "port": 1}]},
    ],
)
def test_path_info_refuses_what_is_no_target(call: Call, target: dict[str, Any]) -> None:
    answer, status = call(path_info, {"targets": [target]})
    assert (status, answer["failed"]) == (1, True)


def test_sip_register_reports_a_closed_port_and_never_the_password(call: Call) -> None:
    answer, status = call(sip_register, dict(REGISTER, transport="tcp"))
    assert (status, answer["changed"], answer["register"]["error"]) == (0, False, "refused")
    assert "s3cret-canary" not in json.dumps(answer)


def test_sip_register_sends_nothing_in_check_mode(call: Call) -> None:
    answer, _status = call(sip_register, REGISTER, check_mode=True)
    assert answer["register"]["error"] == "skipped"


@pytest.mark.parametrize("wrong", [{"server": "pbx.example"}, {"port": 0}, {"expires": 0}, {"transport": "sctp"}])
def test_sip_register_refuses_wrong_arguments(call: Call, wrong: dict[str, Any]) -> None:
    answer, status = call(sip_register, dict(REGISTER, **wrong))
    assert (status, answer["failed"]) == (1, True)
