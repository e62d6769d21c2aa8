"""The command behind ``make kills``."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path

from mutations import saved
from trials.schedule import stopped_by_signals
from trials.tools import ROOT, call

from . import records, table
from .draw import Failure, failures
from .site import battered

CACHE = ROOT / ".cache" / "kills"
JSON = ROOT / "tests" / "output" / "kills.json"


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when every bar is reached, 1 when one is not, 3 when it ended before the last failure."""
    options = parser().parse_args(arguments)
    drawn = failures(options.seed, options.kills, options.restarts, options.cuts, options.services)
    if options.list:
        print("\n".join(f"{one.id}: after {one.before} s, away for {one.away} s" for one in drawn))
        return 0
    name = f"{options.seed}-{options.kills}-{options.restarts}-{options.cuts}-{options.services}"
    file = CACHE / f"{name}.jsonl"
    known = {one["id"] for one in saved.results(file)}
    left = [] if options.table else [one for one in drawn if one.id not in known]
    if left:
        carry_out(left, options, file, stopped_by_signals())
    results = saved.results(file)
    print(table.summary(results, len(drawn)))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(table.document(results, options.seed), indent=1) + "\n", encoding="utf-8")
    if {one.id for one in drawn} - {one["id"] for one in results}:
        return 3
    return 0 if all(one.reached for one in table.figures(results)) else 1


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(description="Kill workers, service and database in the middle of runs.")
    top.add_argument("--seed", type=int, default=1, metavar="S", help="what is drawn from (%(default)s)")
    top.add_argument("--kills", type=int, default=100, metavar="N", help="kills of a worker (%(default)s)")
    top.add_argument("--restarts", type=int, default=20, metavar="N", help="restarts of the database (%(default)s)")
    top.add_argument("--cuts", type=int, default=10, metavar="N", help="workers that are cut off (%(default)s)")
    top.add_argument("--services", type=int, default=10, metavar="N", help="kills of the service (%(default)s)")
    top.add_argument("--workers", type=int, default=4, metavar="N", help="machines with a worker (%(default)s)")
    top.add_argument("--runs", type=int, default=4, metavar="N", help="runs at the same time (%(default)s)")
    top.add_argument("--minutes", type=float, default=60, metavar="M", help="begin none after so long (%(default)s)")
    top.add_argument("--json", type=Path, default=JSON, metavar="FILE", help="where the figures go as JSON")
    top.add_argument("--table", action="store_true", help="print the table of the results, and run nothing")
    top.add_argument("--list", action="store_true", help="print what would fail, and run nothing")
    return top


def carry_out(drawn: list[Failure], options: argparse.Namespace, file: Path, stop: threading.Event) -> None:
    """Let them happen, one after the other, then let every run end; Ctrl-C and SIGTERM let those of the runs end that
    have begun. What happened is kept once all of it is known."""
    until, session = time.monotonic() + 60 * options.minutes, time.strftime("%Y%m%d-%H%M%S")
    commit = call("git", "rev-parse", "--short", "HEAD").stdout.strip()
    happened: list[records.Happened] = []
    with (
        tempfile.TemporaryDirectory(prefix="reconnect-kills-", ignore_cleanup_errors=True) as folder,
        battered(Path(folder), options.seed, options.workers, options.runs) as site,
    ):
        for position, failure in enumerate(drawn, 1):
            one = None if time.monotonic() > until else site.fail(failure, stop)
            if one is None:
                break
            happened.append(one)
            runs = ", ".join(one.runs) or "no run"
            print(f"{position}/{len(drawn)} {failure.id} {one.machine}: {runs}", file=sys.stderr, flush=True)
        site.drained()
        stored, notes = list(site.stored()), site.notes()
        finished = {run.run: run.finished for run in stored}
        results = [
            *records.runs(f"{options.seed}/{session}", site.asked, stored, happened, notes),
            *records.takeovers(happened, finished, notes),
        ]
        for result in results:
            saved.append(file, {**result, "commit": commit})
        site.keep(file.with_suffix("") / session)
