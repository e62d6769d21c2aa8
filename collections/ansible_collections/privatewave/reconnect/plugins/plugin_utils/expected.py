# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an account should be: the fields that the account registry has of it, and its client's documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleError
from ansible.plugins.loader import lookup_loader
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, answered, failed
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import render
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.answers import plain
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.senders import Endpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import (
        Account,
        RenderedDocument,
        WantedAccount,
    )
    from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import Settings
    from ansible_collections.privatewave.reconnect.plugins.plugin_utils.prober import Prober

ACCOUNTS = "privatewave.reconnect.accounts"


def registered(server: str, username: str, endpoint: Endpoint) -> list[WantedAccount]:
    """The accounts of that name that a server should have, secrets included. Raises `AnsibleError`."""
    lookup = lookup_loader.get(ACCOUNTS, loader=endpoint.loader, templar=endpoint.templar)
    found: list[WantedAccount] = plain(lookup.run([server], variables=endpoint.variables, username=username))
    return found


def login(server: str, username: str, endpoint: Endpoint) -> WantedAccount:
    """An account to log in with, secrets included. Raises `ProbeError` when the registry has none that is enabled."""
    try:
        found = registered(server, username, endpoint)
    except AnsibleError as error:
        raise ProbeError("skipped", str(error).rstrip(".")) from None
    if not found:
        raise ProbeError("missing", f"the account registry has no account {username} of this server")
    return enabled(found[0])


def enabled(wanted: WantedAccount) -> WantedAccount:
    """The account itself. Raises `ProbeError` when the registry has disabled it."""
    if not wanted["enabled"]:
        raise ProbeError("skipped", f"the account registry has disabled the account {wanted['username']}")
    return wanted


def reserved(prober: Prober, setting: str, given: Mapping[str, Any], account: str, password: str) -> dict[str, str]:
    """The arguments ``account`` and ``password`` of a test: as the task gives them, else the site's reserved account.

    ``setting`` names that account, and the account registry has its password. Raises `ProbeError`.
    """
    name = str(given.get(account) or prober.settings.get(setting) or "")
    if not name:
        raise ProbeError("skipped", f"the site has no reserved account (reconnect_{setting} is empty)")
    secret = given.get(password) or login(prober.name, name, prober.server)["password"]
    return {account: name, password: str(secret)}


def account(server: str, username: str | None, endpoint: Endpoint) -> tuple[WantedAccount | None, Account]:
    """The account as the registry wants it, or the probe ``registry`` that says why there is nothing to compare."""
    if not username:
        return None, {}
    try:
        found = registered(server, username, endpoint)
    except AnsibleError as error:
        return None, {"registry": failed("failed", str(error))}
    if not found:
        return None, {"registry": answered({"registered": False, "enabled": None, "findings": []}, 0.0)}
    return found[0], {}


def documents(
    wanted: WantedAccount | None, settings: Settings, endpoint: Endpoint
) -> tuple[list[RenderedDocument], Account]:
    """The documents that the role `account` renders, or the probe that says why there are none to compare."""
    names, folders = (
        endpoint.template(endpoint.variables.get(name, default))
        for name, default in (("account_documents", list(render.DEFAULTS)), ("account_templates", []))
    )
    try:
        return render.documents([wanted] if wanted else [], settings, names, folders), {}
    except render.RenderError as error:
        return [], {"documents": failed("failed", str(error))}
