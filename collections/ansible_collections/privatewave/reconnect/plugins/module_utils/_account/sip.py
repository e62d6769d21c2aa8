# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An account of chan_sip: a peer, which is everything in one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.privatewave.reconnect.plugins.module_utils._account import plan as plans
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import is_yes, listed

if TYPE_CHECKING:
    from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import (
        Found,
        Values,
        WantedAccount,
        World,
    )
    from ansible_collections.privatewave.reconnect.plugins.module_utils._account.plan import Plan

NEW_PEER: Values = {
    "host": "dynamic",
    "type": "friend",
    "nat": "force_rport,comedia",
    "directmedia": "no",
}
DEFAULT_REALM = "asterisk"
#: How often Asterisk asks a peer that has ``qualify`` and no ``qualifyfreq``, in seconds.
QUALIFY_SECONDS = 60
#: A peer's transport when it names none.
DEFAULT_TRANSPORT = "udp"


def encryption(account: WantedAccount) -> str:
    """Whether the server encrypts the media (SDES), or passes it on as it is."""
    return "yes" if account["security_model"] == "end_to_site" else "no"


def compare(plan: Plan, account: WantedAccount, found: Found, world: World) -> None:
    """Fill ``plan`` with what ``account`` needs. Raises `ProbeError`, see `plan.check_new`."""
    user, password = account["username"], account["password"]
    row = found["peer"].get(user)
    if row is None:
        plan.report("username", user, None, "account_missing")
        plans.check_new(account)
        values = dict(NEW_PEER, name=user, secret=password, defaultuser=user, transport=account["transport"])
        values.update(plans.acl_values(account), encryption=encryption(account), context=account.get("context"))
        values["qualify"] = "yes" if account["keep_alive"] else "no"
        values.update(plans.codec_values(account))
        plan.insert("peer", user, values)
        return
    _address(plan, account, row)
    _credentials(plan, user, password, row, world.get("realm") or DEFAULT_REALM, world.get("domain") or "")
    wanted, is_on = encryption(account), is_yes(row.get("encryption"))
    if is_on != (wanted == "yes"):
        shown = "yes" if is_on else "no"
        plan.fix("security_model", wanted, shown, "security_model_mismatch", "peer", user, {"encryption": wanted})
    plans.codecs(plan, "peer", user, account, row)
    plans.context(plan, "peer", user, account, row)
    plans.acl(plan, account, row, named=("acl", "contactacl"))
    _keep_alive(plan, account, row)


def _address(plan: Plan, account: WantedAccount, row: Values) -> None:
    """Whether the peer may register, and over its client's transport."""
    user = account["username"]
    host, kind = plans.text(row, "host"), plans.text(row, "type").lower()
    if host.lower() != "dynamic":
        plan.fix("host", "dynamic", host or None, "peer_not_dynamic", "peer", user, {"host": "dynamic"})
    if kind not in ("friend", "peer"):
        plan.fix("type", "friend", kind or None, "peer_not_dynamic", "peer", user, {"type": "friend"})
    transports = [one.lower() for one in listed(row.get("transport"))] or [DEFAULT_TRANSPORT]
    if account["transport"] not in transports:
        values = {"transport": account["transport"]}
        shown = ",".join(transports)
        plan.fix("transport", account["transport"], shown, "transport_mismatch", "peer", user, values)


def _credentials(plan: Plan, user: str, password: str, row: Values, realm: str, domain: str) -> None:
    name = plans.text(row, "defaultuser")
    if name and name != user:
        plan.fix("auth_name", user, name, "auth_name_mismatch", "peer", user, {"defaultuser": user})
    stored, kept = plans.text(row, "secret"), plans.text(row, "md5secret").lower()
    values: Values = {}
    cause = "password_mismatch"
    if kept and kept != plans.digest(user, realm, password):
        # The digest counts; Asterisk ignores a password beside it.
        values["md5secret"] = plans.digest(user, realm, password)
        others = {plans.digest(user, other, password) for other in (DEFAULT_REALM, domain, "")}
        cause = "realm_mismatch" if stored == password or kept in others else "password_mismatch"
    if stored != password and not (kept and not stored):
        values["secret"] = password
        cause = "password_mismatch"
    if values:
        shown = plans.MASKED if stored or kept else None
        plan.fix("password", plans.MASKED, shown, cause, "peer", user, values)


def _keep_alive(plan: Plan, account: WantedAccount, row: Values) -> None:
    """The server's half of the keep-alive (OPTIONS), where the account wants one every so many seconds."""
    wanted = account.get("keep_alive_seconds")
    is_on = plans.text(row, "qualify").lower() not in ("", "no", "0", "off")
    found = (plans.number(row, "qualifyfreq") or QUALIFY_SECONDS) if is_on else 0
    if not wanted or 0 < found <= wanted:
        return
    values: Values = {} if is_on else {"qualify": "yes"}
    if wanted < QUALIFY_SECONDS or plans.number(row, "qualifyfreq"):
        values["qualifyfreq"] = str(wanted)
    if all(plan.knows("peer", column) for column in values):
        plans.asked_too_seldom(plan, "peer", account, found, values)
