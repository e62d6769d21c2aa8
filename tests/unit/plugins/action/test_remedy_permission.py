# SPDX-License-Identifier: GPL-3.0-or-later
"""The action ``remedy_permission``: what the command answers, and what holds where Ansible runs alone."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.privatewave.reconnect.plugins.action import remedy_permission

STEP = {"remedy": "restart_database", "cause": "database_stopped", "role": "database", "outcome": None}


def alone(server: str, **arguments: object) -> bool:
    """Whether a server of three may begin; ``a`` needs nothing, ``b`` and ``c`` the same remedy."""
    steps = {"a": {}, "b": {"reconnect_step": STEP}, "c": {"reconnect_step": STEP}}
    variables = {"inventory_hostname": server, "ansible_play_hosts_all": list("abc"), "hostvars": steps}
    found: bool = remedy_permission.alone({**STEP, **arguments}, variables)["allowed"]
    return found


def test_alone_the_first_of_a_play_is_fixed() -> None:
    assert alone("b")
    assert not alone("c")
    assert alone("c", remedy="restart_asterisk")
    assert alone("c", role="account")
    assert alone("c", outcome="done")
    assert alone("c", remedy="")


@pytest.mark.parametrize(("state", "begins"), [("done", False), ("failed", False), ("refused", True)])
@pytest.mark.parametrize("other", ["b", "d"])
def test_alone_what_another_server_got_in_an_earlier_round_counts(state: str, begins: bool, other: str) -> None:
    done = {"reconnect_step": {}, "reconnect_remedies": [{**STEP, "state": state}]}
    variables = {"inventory_hostname": "c", "ansible_play_hosts_all": list("bcd"), "hostvars": {other: done, "c": done}}
    assert remedy_permission.alone(STEP, variables)["allowed"] is begins


def test_alone_the_first_of_partners_is_undone() -> None:
    undo = {**STEP, "remedy": "undo_restart_database", "undoes": True}
    for server, partners, begins in (("a", ["c"], True), ("b", [], True), ("c", ["a"], False)):
        variables = {"inventory_hostname": server, "ansible_play_hosts_all": list("abc"), "hostvars": {}}
        assert remedy_permission.alone(undo, variables, partners)["allowed"] is begins


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Any]:
    """A guard that answers every question with ``answer``; the questions it was asked."""
    path, asked = tmp_path / "guard", []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve(answer: bytes) -> str:
            def once() -> None:
                connection, _address = listening.accept()
                with connection:
                    asked.append(json.loads(connection.makefile("rb").readline()))
                    connection.sendall(answer)

            threading.Thread(target=once, daemon=True).start()
            return str(path)

        yield serve, asked


def test_question_and_answer(guard: Any) -> None:
    serve, asked = guard
    answer = remedy_permission.ask(serve(b'{"allowed": false, "reason": "on hold"}\n'), STEP)
    assert (answer, asked) == ({"allowed": False, "reason": "on hold"}, [STEP])


@pytest.mark.parametrize("answer", [b"", b"no\n", b"[]\n", b'{"allowed": "yes"}\n', b"[" * 70_000])
def test_without_a_clear_answer_nothing_begins(guard: Any, answer: bytes) -> None:
    serve, _asked = guard
    with pytest.raises(AnsibleActionFail, match="Nothing was changed"):
        remedy_permission.ask(serve(answer), STEP)


def test_guard_that_is_gone_allows_nothing(tmp_path: Path) -> None:
    with pytest.raises(AnsibleActionFail, match="Nothing was changed"):
        remedy_permission.ask(str(tmp_path / "gone"), STEP)
