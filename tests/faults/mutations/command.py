"""The command behind ``make mutations``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from labkit.hosts import HOSTS
from trials.schedule import stopped_by_signals
from trials.tools import Interrupted, ToolError

from . import saved, table, trial
from .kinds import KINDS


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when no bar was missed, 1 when one was, 2 for a wrong call, 3 when it ended before the last case."""
    options = parser().parse_args(arguments)
    numbers = [options.case] if options.case is not None else range(options.first, options.first + options.cases)
    cases = [trial.case_of(options.seed, number, options.host, options.kind) for number in numbers]
    file = saved.results_file(options.seed)
    known = {one["id"] for one in saved.results(file)} if options.resume or options.table else set()
    stop = stopped_by_signals()
    code = 0 if options.table else carry_out([case for case in cases if case.id not in known], options, file, stop)
    wanted = {case.id for case in cases}
    results = [one for one in saved.results(file) if one["id"] in wanted]
    print(table.summary(results))
    missed = any(table.is_false_healthy(one) or table.is_wrong(one) or one.get("worse") for one in results)
    return code or int(missed)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(description="Random single changes of a lab host, labelled by a real phone.")
    top.add_argument("--seed", type=int, required=True, metavar="S", help="what the cases are drawn from")
    top.add_argument("--cases", type=int, default=20, metavar="N", help="how many cases (default: %(default)s)")
    top.add_argument("--first", type=int, default=0, metavar="N", help="the first of them (default: %(default)s)")
    top.add_argument("--case", type=int, metavar="N", help="this case alone")
    top.add_argument("--host", choices=trial.HOSTS_OF_CASES, help="every case on this host")
    top.add_argument("--kind", choices=sorted(KINDS), help="every case of this kind")
    top.add_argument("--apply", action="store_true", help="let the product fix what it may, and look what became of it")
    top.add_argument("--resume", action="store_true", help="leave out the cases that have a result")
    top.add_argument("--table", action="store_true", help="print the table of the results, and run nothing")
    return top


def carry_out(cases: list[trial.Case], options: argparse.Namespace, file: Path, stop: threading.Event) -> int:
    """Run the cases one after the other; Ctrl-C and SIGTERM let the one that has begun end and be reverted."""
    with tempfile.TemporaryDirectory(prefix="reconnect-mutations-") as folder:
        for position, case in enumerate(cases, 1):
            if stop.is_set():
                done = position - 1
                print(f"Stopped by a signal after {done} of {len(cases)} cases; --resume goes on.", file=sys.stderr)
                return 3
            try:
                result: dict[str, Any] = trial.run(
                    case, Path(folder) / str(position), options.apply, options.apply and HOSTS[case.server].is_pbx
                )
            except Interrupted as error:
                print(f"{case.id}: {error}", file=sys.stderr)
                return 3
            except trial.NotWellError as error:
                print(f"{case.id}: {error}", file=sys.stderr)
                return 3
            except (ToolError, LookupError) as error:
                result = {"id": case.id, "case": case.number, "host": case.host, "kind": case.kind, "error": str(error)}
            saved.append(file, result)
            print(f"{position}/{len(cases)} {table.line(result).strip()}", file=sys.stderr, flush=True)
    return 0
