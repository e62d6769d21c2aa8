# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What first level does with an incident (L1.1 to L1.10): close it, fix the account or the client, or hand it on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .documents import Conclusion, Judgement, RootCause, Verdict
from .ending import end
from .finding import Finding, Say
from .outcomes import Outcome
from .remedies import Remedy, remedies

#: What first level may fix; a cause of any other subject belongs to second level.
SUBJECTS = ("account", "client")
#: What a new password fixes, where one is asked for: the registry is right unless somebody says otherwise.
PASSWORDS = ("password_mismatch", "client_wrong_password")
ROTATE = "rotate_password"
#: What a comparison shows, by a finding that passes: of the account with its registry, of the client's own settings.
COMPARED = {
    "the account": ("account.registry",),
    "the client configuration": tuple(
        f"client.{field}" for field in ("address", "domain", "transport", "port", "username")
    ),
}
#: The outcome of an attempt in the watch that says: it works.
REGISTERED = "registered"


def triage(
    report: Mapping[str, Any] | None, attempts: Sequence[Mapping[str, Any]] | None = None, account: str = ""
) -> Conclusion | None:
    """The judgement that ends an incident before the server is checked, or None when it goes on.

    ``report`` is the client report, ``attempts`` what `registration_watch` saw during the forced reconnection of
    ``account``: others behind the same address register, too.
    """
    if (report or {}).get("internet") is False:
        say = Say("client.internet", "client", "internet", evidence=(("client_report.internet", False),))
        return _closed(
            say.fails("The device cannot reach the internet.", "device_offline"),
            "L1.1",
            "not_an_issue",
            "Close the incident: the device has no internet connection.",
        )
    registered = next(
        (one for one in attempts or () if (one.get("outcome"), one.get("account")) == (REGISTERED, account)), None
    )
    if registered is None:
        return None
    address = registered.get("address") or "an unknown address"
    over = f" over {registered['transport']}" if registered.get("transport") else ""
    say = Say("client.reconnected", "client", "registration", evidence=(("account.watch", dict(registered)),))
    return _closed(
        say.passes(f"The account registered from {address}{over} during the watch."),
        "L1.4",
        "temporary_network_problem",
        "Close the incident: the account registered during the watch.",
    )


def _closed(finding: Finding, step: str, outcome: Outcome, next_step: str) -> Conclusion:
    verdict: Verdict = {
        "outcome": outcome,
        "root_causes": [],
        "symptoms": [],
        "plan": [],
        "next_step": "",
        "user_message": None,
        "escalate_to": None,
    }
    end(verdict, outcome, next_step)
    return {"verdict": verdict, "findings": [{**finding.as_dict(), "runbook_step": step}], "state": "succeeded"}


def narrowed(judgement: Judgement, report: Mapping[str, Any] | None, rotate: bool = False) -> Judgement:
    """What `judge` found, as first level acts upon it. ``rotate``: a new password was asked for.

    A fault of the server itself leaves no plan: nothing about an account is changed that could not be verified, least
    of all while the database is in doubt. What first level cannot fix goes to second level.
    """
    verdict: Verdict = {**judgement["verdict"]}
    roots = verdict["root_causes"]
    beyond = [one for one in roots if one["subject"] not in SUBJECTS]
    verdict["plan"] = [] if beyond else [step for step in verdict["plan"] if step["role"] in SUBJECTS]
    planned = {step["remedy"] for step in verdict["plan"]}
    kept = " No new password is made: the password is not the fault." if rotate and ROTATE not in planned else ""
    if roots and not beyond and all(one["remedy"] in planned for one in roots):
        verdict["next_step"] += kept
        return {**judgement, "verdict": verdict}
    next_step = _handed_over(judgement, verdict, beyond, planned) + kept
    error = str((report or {}).get("error_message") or "").strip()
    if error:
        next_step += f" The client's exact message: {error[:300]}"
    end(verdict, "escalate_second_level", next_step)
    return {**judgement, "verdict": verdict}


def _handed_over(judgement: Judgement, verdict: Verdict, beyond: Sequence[RootCause], planned: set[str]) -> str:
    """What second level has to do."""
    if beyond:
        return f"Second level fixes the server first: {_named(beyond)} The account is not changed before that."
    if verdict["root_causes"]:
        return f"A person decides: {_named([one for one in verdict['root_causes'] if one['remedy'] not in planned])}"
    if verdict["outcome"] != "healthy":
        return verdict["next_step"]
    right = _looks_right(judgement)
    if any(one["code"] == "account.live" and one["status"] == "pass" for one in judgement["findings"]):
        return f"{right} a client is registered as the account: ask the user whether it is theirs and what fails."
    return f"{right} the client still cannot connect."


def _looks_right(judgement: Judgement) -> str:
    """What was compared of account, client configuration and server, and what was not; the beginning of a sentence."""
    seen = {one["code"] for one in judgement["findings"] if one["status"] == "pass"}
    unseen = [part for part, codes in COMPARED.items() if not seen.intersection(codes)]
    if not unseen:
        return "Account, client configuration and server look right, and"
    right = " and ".join(["The server", *(part for part in COMPARED if part not in unseen)])
    looks, were = "looks" if right == "The server" else "look", "was" if len(unseen) == 1 else "were"
    return f"{right} {looks} right. {' and '.join(unseen).capitalize()} {were} not compared, and"


def _named(roots: Sequence[RootCause]) -> str:
    return " ".join(f"{one['title']} ({one['cause']})." for one in roots)


def rotated(chosen: Mapping[str, Remedy]) -> dict[str, Remedy]:
    """The remedies by root cause, with a new password in the place of what would fix the old one.

    It brings account and client to what the registry says as those remedies do: it replaces both, and the password
    comes first.
    """
    passwords = [name for name in PASSWORDS if name in chosen]
    new = remedies()[ROTATE]
    replaced = {name: new if passwords and one.role in SUBJECTS else one for name, one in chosen.items()}
    return {**dict.fromkeys(passwords, new), **replaced}


def handed_on(verdict: Verdict) -> Verdict:
    """A verdict for third level, handed to second: first level never skips it."""
    if verdict["outcome"] == "escalate_third_level":
        end(verdict, "escalate_second_level", verdict["next_step"], verdict["user_message"])
    return verdict
