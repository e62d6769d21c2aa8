# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of variables for a server, as a filter for playbooks; its page is the file beside this one."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import one_line
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.answers import plain
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.settings import DEFAULTS, PREFIX, settings

WIDTH = 118
_HEAD = "How {0} is set up, as it was found there. Correct what is wrong; a setting that is left out has its default."


def _host_vars(setup: Mapping[str, Any], server: str) -> str:
    """The text of the file. What a server says of itself is data: nothing of it is templated."""
    found = plain(setup)
    if not isinstance(found, dict):
        raise AnsibleFilterError("This is not what the module setup_info returns.")
    lines = ["---", *_comment(_HEAD.format(server))]
    for name, one in found.items():
        if name not in DEFAULTS or not isinstance(one, dict):
            continue
        value, why = one.get("value"), str(one.get("why") or "")
        if problem := _problem(name, value):
            value, why = None, f"The server says {json.dumps(value)[:80]}, which is no valid value: {problem}."
        written = json.dumps(DEFAULTS[name] if value is None else value)
        lines += ["", *_comment(why), f"{'# ' if value is None else ''}{PREFIX}{name}: {written}"]
    return "\n".join(lines) + "\n"


def _problem(name: str, value: Any) -> str:
    """Why a value cannot stand in an inventory; "" when it can."""
    if value is None:
        return ""
    if any(mark in json.dumps(value) for mark in ("{{", "{%", "{#")):
        return "Ansible would take it for a template"
    try:
        settings({PREFIX + name: value})
    except (TypeError, ValueError, AttributeError) as error:
        return str(error)
    return ""


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(one_line(text, 400), WIDTH)]


class FilterModule:
    """The filter `host_vars`."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """The filter by its name."""
        return {"host_vars": _host_vars}
