# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What first level makes of an incident (L1.1 to L1.10): close it, mend the account or the client, or hand it on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .finding import Say

#: What first level may mend; a cause of any other subject belongs to second level.
SUBJECTS = ("account", "client")
#: What a new password mends, where one is asked for: the registry is right unless somebody says otherwise.
PASSWORDS = ("password_mismatch", "client_wrong_password")
ROTATE = {"remedy": "rotate_password", "role": "client", "entry": "rotate"}
#: The outcome of an attempt in the watch that says: it works.
REGISTERED = "registered"

_CLOSED: dict[str, Any] = {"root_causes": [], "symptoms": [], "plan": [], "escalate_to": None}

Document = dict[str, Any]


def triage(report: Mapping[str, Any] | None, attempts: Sequence[Mapping[str, Any]] | None = None) -> Document | None:
    """The judgement that ends an incident before the server is looked at, or None when it goes on.

    ``report`` is the client report, ``attempts`` what `registration_watch` saw during the forced reconnection.
    """
    if (report or {}).get("internet") is False:
        finding = Say("client.internet", "client", "internet", evidence=(("client_report.internet", False),))
        return _closed(
            finding.fails("The device cannot reach the internet.", "device_offline"),
            "L1.1",
            outcome="not_an_issue",
            next_step="Close the incident: the device has no internet connection.",
            user_message="Your device has no internet connection. Please ask your internet provider to solve it, "
            "and connect again once other applications reach the internet.",
        )
    registered = next((one for one in attempts or () if one.get("outcome") == REGISTERED), None)
    if registered is None:
        return None
    address = registered.get("address") or "an unknown address"
    over = f" over {registered['transport']}" if registered.get("transport") else ""
    finding = Say("client.reconnected", "client", "registration", evidence=(("account.watch", dict(registered)),))
    return _closed(
        finding.passes(f"The account registered from {address}{over} during the watch."),
        "L1.4",
        outcome="temporary_network_problem",
        next_step="Close the incident: the account registered during the watch.",
        user_message="You are connected again: it was a temporary network problem, and it is over.",
    )


def narrowed(judgement: Mapping[str, Any], report: Mapping[str, Any] | None, rotate: bool = False) -> Document:
    """What `judge` found, as first level acts upon it. ``rotate`` says that a wrong password is mended by a new one.

    A fault of the server itself leaves no plan: nothing about an account is changed that could not be proved, least
    of all while the database is in doubt. What first level cannot mend goes to second level.
    """
    verdict: Document = dict(judgement["verdict"])
    if rotate:
        verdict.update(_rotated(verdict))
    roots = verdict["root_causes"]
    beyond = [one for one in roots if one["subject"] not in SUBJECTS]
    theirs = [one for one in roots if one["subject"] in SUBJECTS]
    plan = [] if beyond else [step for step in verdict["plan"] if step["role"] in SUBJECTS]
    planned = {step["remedy"] for step in plan}
    verdict["plan"] = plan
    kept = (
        " No new password is made: the password is not what is wrong."
        if rotate and ROTATE["remedy"] not in planned
        else ""
    )
    if roots and not beyond and all(one["remedy"] in planned for one in theirs):
        verdict["next_step"] += kept
        return {**judgement, "verdict": verdict}
    if beyond:
        named = " ".join(f"{one['title']} ({one['cause']})." for one in beyond)
        step = f"Second level mends the server first: {named} Nothing of the account is changed before that."
    elif theirs:
        named = " ".join(f"{one['title']} ({one['cause']})." for one in theirs if one["remedy"] not in planned)
        step = f"A person decides: {named}"
    elif verdict["outcome"] != "healthy":
        step = str(verdict["next_step"])
    elif any(one["code"] == "account.live" and one["status"] == "pass" for one in judgement["findings"]):
        step = (
            "Account, client configuration and server look right, and a client is registered as the account: "
            "ask the user whether it is theirs, and what still fails."
        )
    else:
        step = "Account, client configuration and server look right, and the client still cannot connect."
    step += kept
    error = str((report or {}).get("error_message") or "").strip()
    verdict.update(
        outcome="escalate_second_level",
        next_step=f"{step} The client's exact message: {error[:300]}" if error else step,
        escalate_to="second level",
        user_message="We could not solve it at once: our engineers are looking into it now.",
    )
    return {**judgement, "verdict": verdict}


def _rotated(verdict: Mapping[str, Any]) -> Document:
    """Root causes and plan with a new password in the place of what would mend the old one.

    It brings account and client to what the registry says as those remedies do: it takes the place of both.
    """
    password = next((one["cause"] for one in verdict["root_causes"] if one["cause"] in PASSWORDS), None)
    replaced = [step for step in verdict["plan"] if step["role"] in SUBJECTS]
    if password is None or not replaced:
        return {}
    rest = [step for step in verdict["plan"] if step not in replaced]
    names = {step["remedy"] for step in replaced}
    return {
        "plan": [
            *rest,
            {
                **replaced[0],
                **ROTATE,
                "cause": password,
                "changes": [line for step in replaced for line in step.get("changes", [])],
            },
        ],
        "root_causes": [
            {**one, "remedy": ROTATE["remedy"]} if one["remedy"] in names else one for one in verdict["root_causes"]
        ],
    }


def handed_on(verdict: Mapping[str, Any]) -> Document:
    """A verdict that would go to third level, gone to second: first level never skips it."""
    if verdict["outcome"] != "escalate_third_level":
        return dict(verdict)
    return {**verdict, "outcome": "escalate_second_level", "escalate_to": "second level"}


def _closed(finding: Any, step: str, **verdict: Any) -> Document:
    said = {**finding.as_dict(), "runbook_step": step}
    return {"verdict": {**_CLOSED, **verdict}, "findings": [said], "state": "succeeded"}
