"""The command behind ``make month``."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from mutations import saved
from trials.schedule import run_all, stopped_by_signals
from trials.tools import ROOT, call

from . import table, trial
from .draw import SERVERS, Happening, month
from .site import Site

CACHE = ROOT / ".cache" / "month"
JSON = ROOT / "tests" / "output" / "month.json"


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when every bar is reached, 1 when one is not, 3 when it ended before the last incident."""
    options = parser().parse_args(arguments)
    drawn = month(options.seed, options.incidents, tuple(options.server or SERVERS))
    wanted = [one for one in drawn if not options.only or any(word in one.id for word in options.only)]
    if options.list:
        print("\n".join(f"{one.id}: {len(one.incidents)} {one.must} {one.outage}".rstrip() for one in wanted))
        return 0
    file = CACHE / f"{options.seed}.jsonl"
    left = [] if options.table else [one for one in wanted if not results_of([one], file)]
    stop = stopped_by_signals()
    if left:
        carry_out(left, file, time.monotonic() + 60 * options.minutes, stop)
    results = results_of(wanted, file)
    print(table.summary(results, sum(len(one.incidents) for one in wanted)))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(table.document(results, options.seed), indent=1) + "\n", encoding="utf-8")
    if not all(results_of([one], file) for one in wanted):
        return 3
    return 0 if all(one.reached for one in table.figures(results)) else 1


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(description="Let a seeded mix of incidents call the service, and say how they end.")
    top.add_argument("only", nargs="*", metavar="WORD", help="only what has the word in its id")
    top.add_argument("--seed", type=int, default=1, metavar="S", help="what they are drawn from (%(default)s)")
    top.add_argument("--incidents", type=int, default=15, metavar="N", help="how many incidents (%(default)s)")
    top.add_argument("--server", action="append", choices=SERVERS, help="only of this server; may be repeated")
    top.add_argument("--minutes", type=float, default=120, metavar="M", help="begin none after so long (%(default)s)")
    top.add_argument("--json", type=Path, default=JSON, metavar="FILE", help="where the figures go as JSON")
    top.add_argument("--table", action="store_true", help="print the table of the results, and run nothing")
    top.add_argument("--list", action="store_true", help="print what would happen, and run nothing")
    return top


def results_of(cases: list[Happening], file: Path) -> list[dict[str, Any]]:
    """The results of these that are kept."""
    ids = tuple(f"{case.id}/" for case in cases)
    return [one for one in saved.results(file) if one["id"].startswith(ids)]


def carry_out(cases: list[Happening], file: Path, until: float, stop: threading.Event) -> None:
    """Let them happen, servers side by side; Ctrl-C and SIGTERM let those that have begun end and be healed."""
    commit = call("git", "rev-parse", "--short", "HEAD").stdout.strip()
    # Nobody else may have incidents of this tracker meanwhile: the service would take them.
    changed = frozenset().union(*(case.places for case in cases), {"tracker"})

    def one(case: Happening) -> None:
        if time.monotonic() > until:
            stop.set()
            return
        try:
            results = trial.run(case, site)
        except (AssertionError, OSError) as error:
            failed = {"host": case.server, "case": case.number, "error": str(error)[-800:]}
            results = [{**failed, "id": f"{case.id}/0"}]
        for result in results:
            saved.append(file, {**result, "commit": commit})
            print(table.line(result), file=sys.stderr, flush=True)

    # It is kept for whoever looks into a miss. A service of its own polls nothing of earlier calls.
    folder = file.with_suffix("") / time.strftime("%Y%m%d-%H%M%S")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with saved.held(changed, {"edge", "phone"} - changed), Site(folder) as site:
        run_all(cases, one, stop)
