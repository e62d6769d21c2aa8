# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe ``account.documents``: a client's documents on the server, compared with what they should be."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from ansible_collections.privatewave.reconnect.plugins.module_utils import _files
from ansible_collections.privatewave.reconnect.plugins.module_utils._account import activation
from ansible_collections.privatewave.reconnect.plugins.module_utils._account.plan import MASKED
from ansible_collections.privatewave.reconnect.plugins.module_utils._common import plain_json
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import (
        ComparedDocuments,
        DocumentState,
        RenderedDocument,
    )
    from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import Settings

LIMIT = 4.0

_SECRET = re.compile(r"pass|secret|key$|licen[cs]e|token", re.IGNORECASE)


def question(settings: Settings, wanted: Iterable[RenderedDocument]) -> tuple[Callable[[], ComparedDocuments], float]:
    """``(function, limit in seconds)`` that compares the documents ``wanted``."""
    return (lambda: compare(settings["provisioning_folder"], wanted)), LIMIT


def compare(folder: str, wanted: Iterable[RenderedDocument]) -> ComparedDocuments:
    """The documents below ``folder`` compared with the ``wanted`` ones. Raises `ProbeError`."""
    states: list[DocumentState] = []
    before: list[str] = []
    after: list[str] = []
    for one in wanted:
        if not activation.USERNAME.match(one["username"]) or not activation.NAME.match(one["name"]):
            raise ProbeError("invalid", "{0!r} is not a valid name of an account's document".format(one["name"][:80]))
        try:
            path = os.path.join(folder, "accounts", one["username"], one["name"])
            with open(path, encoding="utf-8", opener=_files.opener) as file:
                found: str | None = file.read(activation.LARGEST)
        except FileNotFoundError:
            found = None
        except (OSError, ValueError) as error:
            raise ProbeError("failed", "cannot read the document {0}: {1}".format(one["name"], error)) from None
        same = found == one["content"]
        states.append({"name": one["name"], "state": "missing" if found is None else "same" if same else "stale"})
        if not same:
            old, new = fields(one["name"], found), fields(one["name"], one["content"])
            before += lines(one["name"], old, new)
            after += lines(one["name"], new, old, " (changed)")
    return {"documents": states, "diff": {"before": "\n".join(before), "after": "\n".join(after)}}


def fields(name: str, content: str | None) -> dict[str, str]:
    """The document's fields by their dotted names; {} when there is no document, one field when it is invalid."""
    if content is None:
        return {}
    try:
        if name.endswith(".json"):
            return dict(_leaves(plain_json(content)))
        if name.endswith(".xml"):
            return {
                "{0}.{1}".format(section.get("name"), entry.get("name")): entry.text or ""
                for section in ElementTree.fromstring(content).iterfind("{*}section")
                for entry in section.iterfind("{*}entry")
            }
    except (ValueError, ElementTree.ParseError):
        pass
    return {"content": content}


def lines(name: str, shown: Mapping[str, str], other: Mapping[str, str], changed: str = "") -> list[str]:
    """The fields of ``shown`` that differ from ``other``, a line each; ``changed`` follows a secret that both have."""
    found = [name] if shown else []
    for field in sorted(shown):
        if shown[field] == other.get(field):
            continue
        value = shown[field]
        if field == "content" or (value and _SECRET.search(field)):
            value = MASKED + (changed if other.get(field) else "")
        found.append("  {0}: {1}".format(field, value))
    return found


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key in value:
            yield from _leaves(value[key], "{0}.{1}".format(name, key) if name else str(key))
    else:
        yield name or "content", value if isinstance(value, str) else json.dumps(value)
