"""One case: a call is placed, the fault injected, fixed as far as the product may, and healed."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

from mutations import facts, saved
from mutations import trial as mutations
from mutations.machine import LabMachine
from trials import cases as suite
from trials import trial as trials
from trials.phone import calling
from trials.tools import Lab, ToolError

from .draw import Injected


def run(case: Injected, workspace: Path) -> dict[str, Any]:
    """Run a case to its end and give its result. Raises `mutations.NotWellError`, and `Interrupted` when it was
    ended."""
    shared = {"id": case.id, "seed": case.seed, "case": case.number, "with_call": case.with_call}
    if isinstance(case.fault, suite.Case):
        return {**of_suite(case, case.fault, workspace), **shared}
    result = mutations.run(case.fault, workspace, with_apply=True, with_call=case.with_call)
    return {**result, **shared, "source": "mutation", "expected": (result.get("mutation") or {}).get("causes", [])}


def of_suite(case: Injected, fault: suite.Case, workspace: Path) -> dict[str, Any]:
    """The same for a fault of the suite."""
    result: dict[str, Any] = {
        "source": "suite",
        "name": fault.name,
        "host": fault.server,
        "server": fault.server,
        "kind": fault.name,
        "expected": sorted({*fault.causes, *fault.expects.get("symptoms", [])}),
        "must_fix": fault.must_fix,
    }
    account = fault.account or facts.account_of(case.seed, case.number, fault.server)[0]
    machine = LabMachine(fault.server, fault.server)
    asked = time.monotonic()
    with saved.held(fault.places, {"edge", "phone"}):
        began = time.monotonic()
        result["waited"] = round(began - asked, 1)
        # A mutation that a killed run left.
        mutations.revert(machine, fault.server, mutations.boot)
        try:
            with contextlib.ExitStack() as stack:
                call = stack.enter_context(calling(Lab(), fault.server)) if case.with_call else None
                if call is not None:
                    call.placed()
                outcome = trials.Outcome(fault.id, fault.kind, fault.name, fault.server, fault.causes, fault.must_fix)
                stack.enter_context(trials.broken(fault, outcome))

                def fix() -> dict[str, Any]:
                    started = time.monotonic()
                    return mutations.verdict(trials.diagnose(fault, workspace), round(time.monotonic() - started, 1))

                result |= mutations.before_and_after(machine, fault.server, account, call, fix)
        except ToolError as error:
            result["error"] = str(error)[-800:]
        result["total_seconds"] = round(time.monotonic() - began, 1)
    return {**result, "account": account}
