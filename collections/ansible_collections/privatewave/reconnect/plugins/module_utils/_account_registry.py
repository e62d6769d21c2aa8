# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe ``account.registry``: what the account registry wants compared with what the server has."""

from __future__ import annotations

from ansible_collections.privatewave.reconnect.plugins.module_utils import _accounts
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import NAME
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

LIMIT = 4.0


def question(settings, wanted):
    """``(function, limit in seconds)`` that compares the account ``wanted``, a dict with every field."""
    return (lambda: compare(settings, wanted)), LIMIT


def compare(settings, wanted):
    """``{registered, enabled, findings: [{field, wanted, found, cause}], diff: {before, after}}``.

    The diff is what a mend would change, row by row, as text. Secrets are masked. Raises `ProbeError`.
    """
    if not NAME.match(wanted["username"]):
        raise ProbeError("invalid", "an account's name is at most 80 letters, digits and . _ + -")
    store = _accounts.open_store(settings)
    try:
        found = store.read([wanted["username"]])[wanted["username"]]
        driver = settings.get("channel_driver") or "pjsip"
        plan = _accounts.plan_of(store, driver, wanted, found, _accounts.world(settings))
    finally:
        store.close()
    diff = _accounts.diff(wanted["username"], found, plan.changes)
    return {
        "registered": True,
        "enabled": bool(wanted["enabled"]),
        "findings": plan.findings,
        "diff": {name: diff[name].rstrip("\n") for name in ("before", "after")},
    }
