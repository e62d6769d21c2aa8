# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe ``account.registry``: the account on the server, compared with what the account registry wants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.privatewave.reconnect.plugins.module_utils._account import store as account_store
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import account_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import (
        Compared,
        WantedAccount,
    )
    from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import Settings

LIMIT = 4.0


def question(settings: Settings, wanted: WantedAccount) -> tuple[Callable[[], Compared], float]:
    """``(function, limit in seconds)`` that compares the account with ``wanted``."""
    return (lambda: compare(settings, wanted)), LIMIT


def compare(settings: Settings, wanted: WantedAccount) -> Compared:
    """The account on the server compared with ``wanted``, and what a remedy would change. Raises `ProbeError`."""
    user = account_name(wanted["username"])
    store = account_store.open_store(settings)
    try:
        found = store.read([user])[user]
        driver = settings["channel_driver"]
        plan = account_store.plan_of(store, driver, wanted, found, account_store.world(settings))
    finally:
        store.close()
    diff = account_store.diff(user, found, plan.changes)
    return {
        "registered": True,
        "enabled": bool(wanted["enabled"]),
        "findings": plan.findings,
        "diff": {"before": diff["before"].rstrip("\n"), "after": diff["after"].rstrip("\n")},
    }
