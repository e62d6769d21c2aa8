"""The command behind ``make faults``."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from . import table
from .cases import KINDS, Case, cases, chosen, representative
from .figures import document, figures
from .schedule import run_all, stopped_by_signals
from .tools import ROOT, Interrupted
from .trial import Outcome, run

JSON = ROOT / "tests" / "output" / "faults.json"


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when every bar was reached, 1 when one was missed, 2 when there was nothing to do."""
    options = parser().parse_args(arguments)
    among = representative() if options.third else cases()
    wanted = [case for case in chosen(options.only, among) if not options.kind or case.kind in options.kind]
    if options.server:
        wanted = [case for case in wanted if case.server in options.server]
    if options.list:
        print("\n".join(case.id for case in wanted))
        return 0
    if not wanted:
        print("No case has such a name; --list shows them.", file=sys.stderr)
        return 2
    outcomes, seconds = carry_out(wanted, options.record)
    print(table.table(outcomes), "", table.summary(outcomes, seconds), sep="\n")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(document(outcomes, seconds), indent=1) + "\n", encoding="utf-8")
    complete = len(outcomes) == len(wanted)
    return 0 if complete and all(one.reached for one in figures(outcomes)) else 1


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(description="Inject, diagnose, fix and heal the cases of tests/faults on the lab.")
    top.add_argument("only", nargs="*", metavar="WORD", help="only cases whose name contains it")
    top.add_argument("--kind", action="append", choices=list(KINDS), help="only cases of this kind; may be repeated")
    top.add_argument("--server", action="append", metavar="SERVER", help="only this server; may be repeated")
    top.add_argument("--third", action="store_true", help="only those that continuous integration runs")
    top.add_argument("--record", action="store_true", help="keep the evidence under tests/evidence")
    top.add_argument("--json", type=Path, default=JSON, metavar="FILE", help="where the figures go as JSON")
    top.add_argument("--list", action="store_true", help="print the cases and run none")
    return top


def carry_out(wanted: list[Case], record: bool) -> tuple[list[Outcome], float]:
    """Run the cases; Ctrl-C and SIGTERM let those that have begun end and be healed. One that was interrupted all the
    same has no outcome."""
    outcomes: list[Outcome] = []
    stop = stopped_by_signals()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="reconnect-faults-") as folder:

        def one(case: Case) -> None:
            try:
                outcome = run(case, Path(folder) / case.id.replace("/", "-"), record)
            except Interrupted as error:
                print(f"{case.id}: {error}", file=sys.stderr)
                stop.set()
                return
            outcomes.append(outcome)
            said = "; ".join(outcome.misses) or "ok"
            print(f"{len(outcomes)}/{len(wanted)} {case.id} {outcome.total_seconds:.0f} s: {said}", file=sys.stderr)

        run_all(wanted, one, stop)
    return outcomes, time.monotonic() - began
