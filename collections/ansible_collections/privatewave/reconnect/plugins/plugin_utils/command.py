# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command that started the playbook, at its socket: one question, one answer, a line of JSON each."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

#: The variable with the socket's path; without it Ansible runs alone.
VARIABLE = "RECONNECT_GUARD"
#: The store may be busy for half a minute.
SECONDS = 45.0
ANSWER_BYTES = 65536


def address() -> str | None:
    """Where the command listens; None where there is none."""
    return os.environ.get(VARIABLE)


def ask(path: str, question: dict[str, Any]) -> dict[str, Any]:
    """What the command answers: ``allowed`` and its reason. Raises `OSError`, and `ValueError` or `RecursionError` for
    an answer that is invalid."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(SECONDS)
        connection.connect(path)
        connection.sendall(json.dumps(question, default=str).encode() + b"\n")
        with connection.makefile("rb") as file:
            answer = json.loads(file.readline(ANSWER_BYTES))
    if not isinstance(answer, dict) or not isinstance(answer.get("allowed"), bool):
        raise ValueError("the answer is invalid")
    return answer
