# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An account of chan_pjsip: an endpoint, the auth and the address of record that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.privatewave.reconnect.plugins.module_utils._account import plan as plans
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import is_yes, listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import (
        Found,
        Values,
        WantedAccount,
        World,
    )
    from ansible_collections.privatewave.reconnect.plugins.module_utils._account.plan import Plan

#: What a new account has beyond the account registry.
NEW_ENDPOINT: Values = {"direct_media": "no", "force_rport": "yes", "rewrite_contact": "yes", "rtp_symmetric": "yes"}
NEW_AOR: Values = {
    "remove_existing": "yes",
    "minimum_expiration": "60",
    "maximum_expiration": "3600",
}
#: Seconds between two requests to a client.
QUALIFY_SECONDS = "60"
#: Seconds after which a client that lost its connection registers again at the latest.
EXPIRY_SECONDS = 300
DEFAULT_REALM = "asterisk"


def media_encryption(account: WantedAccount) -> str:
    """SDES where calls are encrypted up to the server, nothing where they are encrypted end to end."""
    return "sdes" if account["security_model"] == "end_to_site" else "no"


def compare(plan: Plan, account: WantedAccount, found: Found, world: World) -> None:
    """Fill ``plan`` with what ``account`` needs. Raises `ProbeError`, see `plan.check_new`."""
    user = account["username"]
    endpoint = found["endpoint"].get(user)
    if endpoint is None:
        plan.report("username", user, None, "account_missing")
        plans.check_new(account)
        values = dict(NEW_ENDPOINT, id=user, auth=user, aors=user, context=account.get("context"))
        values.update(plans.acl_values(account), media_encryption=media_encryption(account))
        values.update(plans.codec_values(account))
        plan.insert("endpoint", user, values)
    else:
        _endpoint(plan, account, endpoint, world)
    _auth(plan, account, endpoint, found["auth"], world)
    _aor(plan, account, endpoint, found)


def _endpoint(plan: Plan, account: WantedAccount, row: Values, world: World) -> None:
    user = account["username"]
    transport = plans.text(row, "transport")
    protocols = world.get("transports")
    if transport and protocols is not None and protocols.get(transport) != account["transport"]:
        # It is where Asterisk sends from: the client registers over any, and calls may not reach it.
        plan.fix("transport", account["transport"], transport, None, "endpoint", user, {"transport": None})
    wanted = media_encryption(account)
    found = plans.text(row, "media_encryption").lower() or "no"
    if found != wanted:
        values = {"media_encryption": wanted}
        plan.fix("security_model", wanted, found, "security_model_mismatch", "endpoint", user, values)
    plans.codecs(plan, "endpoint", user, account, row)
    plans.context(plan, "endpoint", user, account, row)
    plans.acl(plan, account, row, named=("acl", "contact_acl"))


def _auth(
    plan: Plan, account: WantedAccount, endpoint: Values | None, auths: Mapping[str, Values], world: World
) -> None:
    user, password = account["username"], account["password"]
    named = (listed((endpoint or {}).get("auth")) or [""])[0]
    row = auths.get(named)
    if endpoint is not None and row is None:
        plan.report("auth", user, named or None, "auth_missing")
        if named != user:
            plan.update("endpoint", user, {"auth": user})
    if row is None:
        named, row = user, auths.get(user)
    if row is None:
        plan.insert("auth", user, {"id": user, "auth_type": "userpass", "username": user, "password": password})
        return
    name = plans.text(row, "username")
    if name != user:
        plan.fix("auth_name", user, name or None, "auth_name_mismatch", "auth", named, {"username": user})
    _password(plan, user, password, named, row, world)


def _password(plan: Plan, user: str, password: str, named: str, row: Values, world: World) -> None:
    """The auth keeps the password itself, or digests of it.

    A release with ``password_digest`` (20.12, 21.7, 22.2) uses a digest where there is one for the algorithm
    (``md5_cred`` for MD5), else the password. An older one goes by ``auth_type``.
    """
    kind, stored = plans.text(row, "auth_type").lower(), plans.text(row, "password")
    md5, entries = plans.text(row, "md5_cred"), ",".join(listed(row.get("password_digest")))
    realm = plans.text(row, "realm") or world.get("realm") or DEFAULT_REALM
    wrong: Values = {}
    if kind == "md5" or (md5 and "password_digest" in row):
        right = plans.digest(user, realm, password)
        if md5.lower() != right:
            wrong["md5_cred"] = right
    if entries != plans.digests(entries, user, realm, password):
        wrong["password_digest"] = plans.digests(entries, user, realm, password)
    if kind != "md5" and not entries and stored != password:
        wrong.update(auth_type="digest" if kind == "digest" else "userpass", password=password)
    elif stored not in ("", password) and (wrong or entries):
        wrong["password"] = password
    if not wrong:
        return
    realms = {realm, DEFAULT_REALM, world.get("domain") or "", ""}
    known = stored == password or any(
        md5.lower() == plans.digest(user, other, password)
        or (entries and entries == plans.digests(entries, user, other, password))
        for other in realms
    )
    shown = plans.MASKED if stored or md5 or entries else None
    cause = "realm_mismatch" if known else "password_mismatch"
    plan.fix("password", plans.MASKED, shown, cause, "auth", named, wrong)


def _aor(plan: Plan, account: WantedAccount, endpoint: Values | None, found: Found) -> None:
    # The registrar takes the AOR with the user's name, among those that the endpoint names.
    user, wanted = account["username"], int(account["max_contacts"])
    names, row = listed((endpoint or {}).get("aors")), found["aor"].get(user)
    if endpoint is not None and (user not in names or row is None):
        plan.report("aor", user, ",".join(names) or None, "aor_missing")
        if user not in names:
            plan.update("endpoint", user, {"aors": user})
    if row is None:
        frequency = QUALIFY_SECONDS if account["keep_alive"] else "0"
        values = dict(NEW_AOR, id=user, max_contacts=str(wanted), qualify_frequency=frequency)
        plan.insert("aor", user, values)
        return
    _keep_alive(plan, account, row)
    limit = plans.number(row, "max_contacts")
    if limit < 1:
        plan.fix(
            "max_contacts", str(wanted), str(limit), "max_contacts_zero", "aor", user, {"max_contacts": str(wanted)}
        )
        return
    taken = len(found["contact"])
    if taken >= limit and not is_yes(row.get("remove_existing")):
        values = {"max_contacts": str(max(limit, wanted)), "remove_existing": "yes"}
        if plan.knows("aor", "remove_unavailable"):
            values["remove_unavailable"] = "yes"
        shown = "{0} of {1} taken".format(taken, limit)
        plan.fix("contacts", "room for a new one", shown, "max_contacts_reached", "aor", user, values)
        for contact in found["contact"]:
            plan.delete("contact", contact["id"])
    elif limit < wanted:
        plan.fix("max_contacts", str(wanted), str(limit), None, "aor", user, {"max_contacts": str(wanted)})


def _keep_alive(plan: Plan, account: WantedAccount, row: Mapping[str, Any]) -> None:
    """The server's half of the keep-alive (OPTIONS), where the account wants one every so many seconds."""
    wanted, found = account.get("keep_alive_seconds"), plans.number(row, "qualify_frequency")
    if wanted and not 0 < found <= wanted:
        values = {"qualify_frequency": str(wanted)}
        if not 0 < plans.number(row, "maximum_expiration") <= EXPIRY_SECONDS:
            values["maximum_expiration"] = str(EXPIRY_SECONDS)
        plans.asked_too_seldom(plan, "aor", account, found, values)
