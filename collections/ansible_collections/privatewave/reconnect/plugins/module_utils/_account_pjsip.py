# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An account of chan_pjsip: an endpoint, the auth and the address of record that it names."""

from __future__ import annotations

from ansible_collections.privatewave.reconnect.plugins.module_utils import _account_plan as plans

#: What a new account is, beyond what the registry says.
NEW_ENDPOINT = {"direct_media": "no", "force_rport": "yes", "rewrite_contact": "yes", "rtp_symmetric": "yes"}
NEW_AOR = {
    "remove_existing": "yes",
    "minimum_expiration": "60",
    "maximum_expiration": "3600",
}
QUALIFY_SECONDS = "60"
#: Seconds after which a client whose connection was lost is back at the latest.
EXPIRY_SECONDS = 300
DEFAULT_REALM = "asterisk"


def media_encryption(account):
    """What the server does about the media: SDES where calls are encrypted up to it, nothing where they pass it."""
    return "sdes" if account["security_model"] == "end_to_site" else "no"


def compare(plan, account, found, world):
    """Fill ``plan`` with what ``account`` needs.

    ``found`` holds ``{id: row}`` of ``endpoint``, ``auth`` and ``aor``, and the rows of ``contact``; ``world`` knows
    the ``transports`` (``{name: protocol}`` or None), the default ``realm`` and the time ``now``.
    """
    user = account["username"]
    endpoint = found["endpoint"].get(user)
    if endpoint is None:
        plan.wrong("username", user, None, "account_missing")
        values = dict(NEW_ENDPOINT, id=user, auth=user, aors=user, context=account.get("context"))
        values.update(plans.acl_values(account), media_encryption=media_encryption(account))
        if account.get("codecs"):
            values.update(disallow="all", allow=",".join(account["codecs"]))
        plan.insert("endpoint", user, values)
    else:
        _endpoint(plan, account, endpoint, world)
    _auth(plan, account, endpoint, found["auth"], world)
    _aor(plan, account, endpoint, found)


def _endpoint(plan, account, row, world):
    user = account["username"]
    transport = plans.text(row, "transport")
    protocols = world.get("transports")
    if transport and protocols is not None and protocols.get(transport) != account["transport"]:
        plan.wrong(
            "transport", account["transport"], transport, "transport_mismatch", "endpoint", user, {"transport": None}
        )
    wanted = media_encryption(account)
    found = plans.text(row, "media_encryption").lower() or "no"
    if found != wanted:
        values = {"media_encryption": wanted}
        plan.wrong("security_model", wanted, found, "security_model_mismatch", "endpoint", user, values)
    plans.codecs(plan, "endpoint", user, account, row)
    plans.context(plan, "endpoint", user, account, row)
    plans.acl(plan, account, row)


def _auth(plan, account, endpoint, auths, world):
    user, password = account["username"], account["password"]
    named = (plans.listed((endpoint or {}).get("auth")) or [""])[0]
    row = auths.get(named)
    if endpoint is not None and row is None:
        plan.wrong("auth", user, named or None, "auth_missing")
        if named != user:
            plan.update("endpoint", user, {"auth": user})
    if row is None:
        named, row = user, auths.get(user)
    if row is None:
        plan.insert("auth", user, {"id": user, "auth_type": "userpass", "username": user, "password": password})
        return
    name = plans.text(row, "username")
    if name != user:
        plan.wrong("auth_name", user, name or None, "auth_name_mismatch", "auth", named, {"username": user})
    _password(plan, user, password, named, row, world)


def _password(plan, user, password, named, row, world):
    """What the auth keeps of the password: itself, or digests of it.

    A release that has ``password_digest`` (20.12, 21.7, 22.2) takes a digest wherever there is one for the algorithm,
    ``md5_cred`` being that of MD5, and the password for the others. An older one asks ``auth_type``.
    """
    kind, stored = plans.text(row, "auth_type").lower(), plans.text(row, "password")
    md5, entries = plans.text(row, "md5_cred"), ",".join(plans.listed(row.get("password_digest")))
    realm = plans.text(row, "realm") or world.get("realm") or DEFAULT_REALM
    wrong = {}
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
    plan.wrong("password", plans.MASKED, shown, cause, "auth", named, wrong)


def _aor(plan, account, endpoint, found):
    # The registrar looks for the AOR that has the user's name, among those that the endpoint names.
    user, wanted = account["username"], int(account["max_contacts"])
    names, row = plans.listed((endpoint or {}).get("aors")), found["aor"].get(user)
    if endpoint is not None and (user not in names or row is None):
        plan.wrong("aor", user, ",".join(names) or None, "aor_missing")
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
        values = {"max_contacts": str(wanted)}
        plan.wrong("max_contacts", str(wanted), str(limit), "max_contacts_zero", "aor", user, values)
        return
    taken = len(found["contact"])
    if taken >= limit and not plans.is_yes(row.get("remove_existing")):
        values = {"max_contacts": str(max(limit, wanted)), "remove_existing": "yes"}
        if plan.knows("aor", "remove_unavailable"):
            values["remove_unavailable"] = "yes"
        shown = "{0} of {1} taken".format(taken, limit)
        plan.wrong("contacts", "room for a new one", shown, "max_contacts_reached", "aor", user, values)
        for contact in found["contact"]:
            plan.delete("contact", contact["id"])
    elif limit < wanted:
        plan.wrong("max_contacts", str(wanted), str(limit), None, "aor", user, {"max_contacts": str(wanted)})


def _keep_alive(plan, account, row):
    """The server's half of the keep-alive (OPTIONS), where it has to speak more often than so many seconds."""
    wanted, found = account.get("keep_alive_seconds"), plans.number(row, "qualify_frequency")
    if wanted and not 0 < found <= wanted:
        values = {"qualify_frequency": str(wanted)}
        if not 0 < plans.number(row, "maximum_expiration") <= EXPIRY_SECONDS:
            values["maximum_expiration"] = str(EXPIRY_SECONDS)
        plans.asked_too_seldom(plan, "aor", account, found, values)
