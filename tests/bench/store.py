"""What a full store costs: the same command with 100 and with 100,000 runs in the store, measured in turn.

``--number N`` sets how full it is, ``--runs N`` the number of pairs. Everybody waits for the process to start and for
the libraries to load, so ``--inside`` measures the page alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from measure import BIN, once, pairs
from reconnect.result import Result, Verdict, now
from reconnect.runs import database, tables
from reconnect.runs.record import Wanted
from reconnect.runs.request import Request
from reconnect.runs.store import Runs
from reconnect.settings import Settings

FEW = 100
COMMANDS = {
    "runs": ["runs"],
    "runs --server": ["runs", "--server", "pbx7"],
    "runs --outcome": ["runs", "--outcome", "fault_found"],
    "runs --account": ["runs", "--account", "1042"],
    "show latest": ["show", "latest"],
    "outbox": ["outbox"],
}


def filled(folder: Path, number: int) -> Settings:
    """A store with so many runs, one for each of the last minutes, each with a result."""
    settings = Settings(state_dir=folder)
    run = Runs(settings).create(
        Request(
            playbook="diagnose-server.yml",
            mode="diagnose",
            named=["pbx0"],
            servers=["pbx0"],
            inventory="inventory",
            timeout=300,
            command=["diagnose-server", "pbx0"],
        )
    )
    result = Result(
        run_id=run.run_id,
        state="succeeded",
        playbook="diagnose-server.yml",
        mode="diagnose",
        server="pbx0",
        started_at=run.record.started_at,
        finished_at=now(),
        verdict=Verdict(outcome="healthy"),
    )
    run.record.finished_at = result.finished_at
    run.finish([result], "")
    engine = database.engine_of(settings)
    with database.writing(engine) as connection:
        row = dict(connection.execute(tables.runs.select()).mappings().one())
        ended = dict(connection.execute(tables.results.select()).mappings().one())
        connection.execute(tables.runs.delete())
        moment = now()
        for first in range(0, number, 1000):
            runs, results = [], []
            for n in range(first, min(first + 1000, number)):
                at = moment - timedelta(minutes=number - n)
                run_id = f"{at:%Y%m%d-%H%M%S}-000{n % 65536:04x}"
                shared = {"run_id": run_id, "started_at": at, "finished_at": at, "account": f"{1000 + n % 500}"}
                runs.append({**row, **shared, "delivery": "none", "exit_code": 0})
                ending = "fault_found" if n % 20 == 0 else "healthy"
                results.append({**ended, "run_id": run_id, "server": f"pbx{n % 50}", "ending": ending, "causes": []})
            connection.execute(tables.runs.insert(), runs)
            connection.execute(tables.results.insert(), results)
    assert Runs(settings).get(run.run_id) is None
    return settings


def page_of(settings: Settings, wanted: Wanted) -> float:
    """Seconds that a page of the list takes in a process that is warm."""
    start = time.perf_counter()
    assert Runs(settings).newest(wanted, 50)
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--inside", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as few, tempfile.TemporaryDirectory() as many:
        states = [(Path(folder), filled(Path(folder), n)) for folder, n in ((many, options.number), (few, FEW))]
        if options.inside:
            wanted = {"any": Wanted(), "server": Wanted(server="pbx7"), "ending": Wanted(ending="fault_found")}
            measured = {
                name: [lambda s=settings, w=one: page_of(s, w) for _, settings in states]
                for name, one in wanted.items()
            }
        else:
            measured = {
                name: [
                    lambda f=folder, w=words: once(
                        ["env", f"RECONNECT_STATE_DIR={f}", str(BIN / "reconnect"), *w], expect=(0, 2)
                    )
                    for folder, _ in states
                ]
                for name, words in COMMANDS.items()
            }
        for name, (full, empty) in measured.items():
            seconds, against, ratio = pairs(options.runs, full, empty)
            print(f"{name:16} {options.number} runs {seconds:7.4f} s   {FEW} runs {against:7.4f} s   × {ratio:.2f}")


if __name__ == "__main__":
    main()
