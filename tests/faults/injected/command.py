"""The command behind ``make injected``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from mutations import saved
from mutations.trial import NotWellError
from trials.schedule import stopped_by_signals
from trials.tools import ROOT, Interrupted, ToolError, call

from . import table, trial
from .draw import Injected, injected

CACHE = ROOT / ".cache" / "injected"


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when every bar is reached, 1 when one is not, 3 when it ended before the last case."""
    options = parser().parse_args(arguments)
    drawn = [injected(options.seed, number) for number in range(options.first, options.first + options.cases)]
    wanted = [case for case in drawn if not options.only or any(word in case.id for word in options.only)]
    if options.list:
        print("\n".join(case.id + (" with a call" if case.with_call else "") for case in wanted))
        return 0
    file = CACHE / f"{options.seed}.jsonl"
    known = {one["id"] for one in saved.results(file)}
    stop = stopped_by_signals()
    left = [] if options.table else [case for case in wanted if case.id not in known]
    ended = carry_out(left, file, time.monotonic() + 60 * options.minutes, stop)
    ids = {case.id for case in wanted}
    results = [one for one in saved.results(file) if one["id"] in ids]
    print(table.summary(results, len(wanted)))
    if not ended:
        return 3
    return 0 if all(one.reached for one in table.figures(results)) else 1


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(description="Inject a seeded mix of faults, and look what --apply makes of each.")
    top.add_argument("only", nargs="*", metavar="WORD", help="only cases whose id contains it")
    top.add_argument("--seed", type=int, default=1, metavar="S", help="what the cases are drawn from (%(default)s)")
    top.add_argument("--cases", type=int, default=20, metavar="N", help="how many cases (%(default)s)")
    top.add_argument("--first", type=int, default=0, metavar="N", help="the first of them (%(default)s)")
    top.add_argument("--minutes", type=float, default=120, metavar="M", help="begin none after so long (%(default)s)")
    top.add_argument("--table", action="store_true", help="print the table of the results, and run nothing")
    top.add_argument("--list", action="store_true", help="print the cases, and run none")
    return top


def carry_out(cases: list[Injected], file: Path, until: float, stop: threading.Event) -> bool:
    """Run the cases that have no result yet, one after the other; whether all came to their end. Ctrl-C and SIGTERM let
    the one that has begun end and be healed."""
    commit = call("git", "rev-parse", "--short", "HEAD").stdout.strip()
    with tempfile.TemporaryDirectory(prefix="reconnect-injected-") as folder:
        for position, case in enumerate(cases, 1):
            if stop.is_set() or time.monotonic() > until:
                print(f"Ended after {position - 1} of {len(cases)} cases; the next call goes on.", file=sys.stderr)
                return False
            try:
                result: dict[str, Any] = trial.run(case, Path(folder) / str(position))
            except (Interrupted, NotWellError) as error:
                print(f"{case.id}: {error}", file=sys.stderr)
                return False
            except (ToolError, LookupError) as error:
                result = {"id": case.id, "case": case.number, "host": case.server, "error": str(error)}
            saved.append(file, {**result, "commit": commit})
            print(f"{position}/{len(cases)} {table.line(result).strip()}", file=sys.stderr, flush=True)
    return True
