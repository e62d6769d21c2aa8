"""One happening: its fault is injected, its incidents are made, its user is played, and the run is waited for."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from random import Random
from typing import Any

from e2e import rt
from labkit.hosts import HOSTS
from reconnect.result import ending
from reconnect.runs.store import Run
from trials import trial as trials
from trials.phone import LIVING, calling, follows_the_message, linphone
from trials.tools import Lab, beside, password_of

from .draw import ACCOUNT, Happening
from .site import Site, patiently, stop_tracker

#: Seconds until what has not ended is taken for lost, for each incident of a storm as many more.
LIMIT = 420
MORE = 60
#: What fails does so at a random moment of this long after the incident was made, in seconds.
MOMENT = 25


def run(case: Happening, site: Site) -> list[dict[str, Any]]:
    """Let it happen, to its end; a result for each incident. Raises ToolError where the lab fails."""
    lab, rng = Lab(), Random(f"{case.id}/outage")
    with contextlib.ExitStack() as stack:
        call = stack.enter_context(calling(lab, case.server)) if case.with_call else None
        if call is not None:
            call.placed()
        if case.fault is not None:
            fault = case.fault
            outcome = trials.Outcome(fault.id, fault.kind, fault.name, fault.server, fault.causes, fault.must_fix)
            if case.kind == "temporary":
                with trials.broken(fault, outcome):
                    pass
            else:
                stack.enter_context(trials.broken(fault, outcome))
            if fault.follows:
                stack.enter_context(follows_the_message(lab, fault.account, LIMIT))
        calls = call.up() if call is not None else set()
        with site.away() if case.outage == "hook" else contextlib.nullcontext():
            numbers = [make(case, fields) for fields in case.incidents]
        if case.kind in ("temporary", "duplicate"):
            stack.enter_context(reconnects(lab, case, numbers[0]))
        if case.outage in ("service", "tracker", "worker"):
            time.sleep(rng.uniform(0, MOMENT))  # the moment is drawn
        if case.outage == "service":
            with site.away():
                pass
        elif case.outage == "tracker":
            stop_tracker()
        elif case.outage == "worker":
            site.kill_worker(numbers[0])
        deadline = time.monotonic() + LIMIT + MORE * len(numbers)
        in_time = {number: waited(case, site, number, deadline) for number in numbers}
        left = call.up() if call is not None else set()
    shared = {
        "host": case.server,
        "case": case.number,
        "kind": case.kind,
        "fault": case.fault.id if case.fault else "",
        "outage": case.outage,
        "must": case.must,
        "right_endings": case.endings,
        "expected": case.expected,
        "causes": case.fault.causes if case.fault and case.kind != "temporary" else [],
        "first": numbers[0],
    }
    results = [
        {**shared, "id": f"{case.id}/{position}", "in_time": in_time[number], **observed(site, number)}
        for position, number in enumerate(numbers)
    ]
    # They are the server's, whatever incident a remedy was for.
    results[0] |= {"calls": len(calls), "calls_dropped": len(calls - left)}
    return results


def make(case: Happening, fields: dict[str, str]) -> str:
    """The number of a new incident; some users write at once that they are waiting."""
    number = patiently(lambda: rt.ticket(f"Cannot connect: {case.kind}", fields, user="root"))
    if case.answered:
        write(number, "When will it work again?")
    return number


def write(number: str, text: str) -> None:
    """Write to the incident as its user does."""
    words = {"Content": text, "ContentType": "text/plain"}
    patiently(lambda: rt.ask(f"ticket/{number}/correspond", words, user="root"))


@contextlib.contextmanager
def reconnects(lab: Lab, case: Happening, number: str) -> Iterator[None]:
    """Meanwhile the user connects the phone again and again; where the account has a fault, once the incident is
    closed."""
    account = case.incidents[0].get("Account", ACCOUNT)
    domain = HOSTS[case.server].domain_name
    known = {"domain": domain, "account": account, "password": password_of(case.server, account)}

    def user(over: threading.Event) -> None:
        while case.kind != "temporary" and not over.wait(1) and status(number) != "resolved":
            pass
        while not over.is_set():
            with linphone(lab, f"user-{case.server}", LIVING.format(transport="tls", **known)):
                over.wait(3)

    with beside(user):
        yield


def status(number: str) -> str:
    """The incident's status."""
    return str(patiently(lambda: rt.ask(f"ticket/{number}"))["Status"])


def waited(case: Happening, site: Site, number: str, deadline: float) -> bool:
    """Wait until the incident's runs have ended and told it, and people have done their part; whether that was in
    time."""
    answered = False
    while time.monotonic() < deadline:
        found = site.runs_of(number)
        told = bool(found) and all(run.record.finished_at and run.record.delivery == "delivered" for run in found)
        if told and case.kind == "incomplete" and not (answered or diagnoses(found)):
            answer(case, number)
            answered = True
        elif told and case.must == "approved" and found[-1].record.request.plan_of is None:
            # The service asks for the approval a moment after the run has ended.
            site.approve(found[-1])
        elif told and (case.must == "asked" or diagnoses(found)):
            return True
        time.sleep(1)  # between two looks
    return False


def answer(case: Happening, number: str) -> None:
    """First level fills in what the incident was asked for."""
    assert case.fault is not None
    fields = {"Server": case.server, "Account": case.fault.account}
    patiently(lambda: rt.ask(f"ticket/{number}", {"CustomFields": fields}, user="root", method="PUT"))
    write(number, "Server and account are filled in.")


def diagnoses(runs: list[Run]) -> list[Run]:
    """The runs that did more than to ask."""
    return [run for run in runs if not run.record.question]


def observed(site: Site, number: str) -> dict[str, Any]:
    """What became of an incident."""
    incident, runs = patiently(lambda: rt.ask(f"ticket/{number}")), site.runs_of(number)
    results = [result for run in runs for result in run.results()]
    verdicts = [result.verdict for result in results if result.verdict]
    closed = incident["Status"] == "resolved"
    times = [datetime.fromisoformat(incident[name]) for name in ("Created", "Resolved")] if closed else []
    texts = patiently(lambda: rt.told(number)).values()
    return {
        "incident": number,
        "status": incident["Status"],
        "endings": [ending(result) for result in results],
        "named": sorted({one.cause for verdict in verdicts[:1] for one in verdict.root_causes}),
        "remedies": [
            {"remedy": one.remedy, "cause": one.cause, "state": one.state}
            for result in results
            for one in result.remedies
        ],
        "questions": sum(bool(run.record.question) for run in runs),
        "diagnoses": len(diagnoses(runs)),
        "begun": sum(bool(run.record.begun) for run in diagnoses(runs)),
        "markers": patiently(lambda: rt.marked(number)),
        "points_to": sorted(set(re.findall(r"rt:\d+", " ".join(text.decode(errors="replace") for text in texts)))),
        "seconds": (times[1] - times[0]).total_seconds() if times else None,
    }
