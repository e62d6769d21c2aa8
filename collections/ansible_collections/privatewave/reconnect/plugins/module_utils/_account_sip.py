# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An account of chan_sip: a peer, which is everything in one."""

from __future__ import annotations

from ansible_collections.privatewave.reconnect.plugins.module_utils import _account_plan as plans

NEW_PEER = {
    "host": "dynamic",
    "type": "friend",
    "nat": "force_rport,comedia",
    "directmedia": "no",
}
DEFAULT_REALM = "asterisk"
#: How often Asterisk asks a peer that has ``qualify`` and no ``qualifyfreq``, in seconds.
QUALIFY_SECONDS = 60
#: What Asterisk takes a peer's transport for when it says none.
DEFAULT_TRANSPORT = "udp"


def encryption(account):
    """Whether the server encrypts the media (SDES), or lets it pass as it is."""
    return "yes" if account["security_model"] == "end_to_site" else "no"


def compare(plan, account, found, world):
    """Fill ``plan`` with what ``account`` needs; ``found["peer"]`` holds ``{name: row}``, ``world`` the ``realm``."""
    user, password = account["username"], account["password"]
    row = found["peer"].get(user)
    if row is None:
        plan.wrong("username", user, None, "account_missing")
        values = dict(NEW_PEER, name=user, secret=password, defaultuser=user, transport=account["transport"])
        values.update(plans.acl_values(account), encryption=encryption(account), context=account.get("context"))
        values["qualify"] = "yes" if account["keep_alive"] else "no"
        if account.get("codecs"):
            values.update(disallow="all", allow=",".join(account["codecs"]))
        plan.insert("peer", user, values)
        return
    _way_in(plan, account, row)
    _credentials(plan, user, password, row, world.get("realm") or DEFAULT_REALM, world.get("domain") or "")
    wanted, is_on = encryption(account), plans.is_yes(row.get("encryption"))
    if is_on != (wanted == "yes"):
        shown = "yes" if is_on else "no"
        plan.wrong("security_model", wanted, shown, "security_model_mismatch", "peer", user, {"encryption": wanted})
    plans.codecs(plan, "peer", user, account, row)
    plans.context(plan, "peer", user, account, row)
    plans.acl(plan, account, row, named=("acl", "contactacl"))
    _keep_alive(plan, account, row)


def _way_in(plan, account, row):
    user = account["username"]
    host, kind = plans.text(row, "host"), plans.text(row, "type").lower()
    if host.lower() != "dynamic":
        plan.wrong("host", "dynamic", host or None, "peer_not_dynamic", "peer", user, {"host": "dynamic"})
    if kind not in ("friend", "peer"):
        plan.wrong("type", "friend", kind or None, "peer_not_dynamic", "peer", user, {"type": "friend"})
    transports = [one.lower() for one in plans.listed(row.get("transport"))] or [DEFAULT_TRANSPORT]
    if account["transport"] not in transports:
        values = {"transport": account["transport"]}
        shown = ",".join(transports)
        plan.wrong("transport", account["transport"], shown, "transport_mismatch", "peer", user, values)


def _credentials(plan, user, password, row, realm, domain):
    name = plans.text(row, "defaultuser")
    if name and name != user:
        plan.wrong("auth_name", user, name, "auth_name_mismatch", "peer", user, {"defaultuser": user})
    stored, kept = plans.text(row, "secret"), plans.text(row, "md5secret").lower()
    values = {}
    if kept and kept != plans.digest(user, realm, password):
        # The digest is the one that counts; a password beside it is not looked at.
        values["md5secret"] = plans.digest(user, realm, password)
        others = {plans.digest(user, other, password) for other in (DEFAULT_REALM, domain, "")}
        cause = "realm_mismatch" if stored == password or kept in others else "password_mismatch"
    if stored != password and not (kept and not stored):
        values["secret"] = password
        cause = "password_mismatch"
    if values:
        shown = plans.MASKED if stored or kept else None
        plan.wrong("password", plans.MASKED, shown, cause, "peer", user, values)


def _keep_alive(plan, account, row):
    """The server's half of the keep-alive (OPTIONS), where it has to speak more often than so many seconds."""
    wanted = account.get("keep_alive_seconds")
    is_on = plans.text(row, "qualify").lower() not in ("", "no", "0", "off")
    found = (plans.number(row, "qualifyfreq") or QUALIFY_SECONDS) if is_on else 0
    if not wanted or 0 < found <= wanted:
        return
    values = {} if is_on else {"qualify": "yes"}
    if wanted < QUALIFY_SECONDS or plans.number(row, "qualifyfreq"):
        values["qualifyfreq"] = str(wanted)
    if all(plan.knows("peer", column) for column in values):
        plans.asked_too_seldom(plan, "peer", account, found, values)
