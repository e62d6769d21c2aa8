# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe ``account.documents``: a client's documents as they are now, compared with what they should be."""

from __future__ import annotations

import json
import os
import re
from xml.etree import ElementTree

from ansible_collections.privatewave.reconnect.plugins.module_utils import _provision
from ansible_collections.privatewave.reconnect.plugins.module_utils._account_plan import MASKED
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

LIMIT = 4.0
FOLDER = "/srv/provisioning"

_SECRET = re.compile(r"pass|secret|key$|licen[cs]e|token", re.IGNORECASE)


def question(settings, wanted):
    """``(function, limit in seconds)`` that compares the documents ``wanted``, ``[{username, name, content}]``."""
    return (lambda: compare(settings.get("provisioning_folder") or FOLDER, wanted)), LIMIT


def compare(folder, wanted):
    """``{documents: [{name, state}], diff: {before, after}}``: a state is ``same``, ``stale`` or ``missing``.

    The diff has the fields that differ as text, secrets masked. Raises `ProbeError`.
    """
    told, before, after = [], [], []
    for one in wanted:
        if not _provision.USERNAME.match(one["username"]) or not _provision.NAME.match(one["name"]):
            raise ProbeError("invalid", "{0!r} is no document of an account".format(one["name"][:80]))
        try:
            with open(os.path.join(folder, "accounts", one["username"], one["name"]), encoding="utf-8") as file:
                found = file.read()
        except FileNotFoundError:
            found = None
        except (OSError, ValueError) as error:
            raise ProbeError("failed", "the document {0} can't be read: {1}".format(one["name"], error)) from None
        state = "missing" if found is None else "same" if found == one["content"] else "stale"
        told.append({"name": one["name"], "state": state})
        if state != "same":
            old, new = fields(one["name"], found), fields(one["name"], one["content"])
            before += lines(one["name"], old, new)
            after += lines(one["name"], new, old, " (changed)")
    return {"documents": told, "diff": {"before": "\n".join(before), "after": "\n".join(after)}}


def fields(name, content):
    """The document's fields by their dotted names, {} when there is none; one that can't be read is one field."""
    if content is None:
        return {}
    try:
        if name.endswith(".json"):
            return dict(_leaves(json.loads(content)))
        if name.endswith(".xml"):
            return {
                "{0}.{1}".format(section.get("name"), entry.get("name")): entry.text or ""
                for section in ElementTree.fromstring(content).iterfind("{*}section")
                for entry in section.iterfind("{*}entry")
            }
    except (ValueError, ElementTree.ParseError):
        pass
    return {"content": content}


def lines(name, shown, other, changed=""):
    """What ``shown`` says otherwise than ``other``, a line each; ``changed`` stands behind a secret that both have."""
    told = [name] if shown else []
    for field in sorted(shown):
        if shown[field] == other.get(field):
            continue
        value = shown[field]
        if field == "content" or (value and _SECRET.search(field)):
            value = MASKED + (changed if other.get(field) else "")
        told.append("  {0}: {1}".format(field, value))
    return told


def _leaves(value, name=""):
    if isinstance(value, dict):
        for key in value:
            yield from _leaves(value[key], "{0}.{1}".format(name, key) if name else str(key))
    else:
        yield name or "content", value if isinstance(value, str) else json.dumps(value)
