"""What things cost, as ratios of two commands measured in turn in the same run: make bench.

Absolute times differ between machines and moments; a ratio of pairs measured side by side holds. ``--runs N`` sets the
number of pairs, ``--json`` prints the figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venv" / "bin"
LAB = ROOT / "tests" / "lab" / "lab"
INVENTORY = "inventories/lab"

EMPTY = "- hosts: servers\n  gather_facts: false\n  tasks: []\n"


@dataclass(frozen=True)
class Figure:
    """One comparison: medians of the pairs."""

    what: str
    seconds: float
    against: str
    against_seconds: float
    ratio: float


def once(command: list[str], expect: tuple[int, ...] = (0,)) -> float:
    """Seconds that a command takes; it must end as expected."""
    start = time.perf_counter()
    ended = subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        check=False,
    )
    if ended.returncode not in expect:
        raise SystemExit(
            f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stdout[-800:]}{ended.stderr[-800:]}"
        )
    return time.perf_counter() - start


def pairs(runs: int, first: Callable[[], float], second: Callable[[], float]) -> tuple[float, float, float]:
    """Medians of both and of their ratio, after one round that is not counted."""
    first(), second()
    taken = [(first(), second()) for _ in range(runs)]
    return (
        statistics.median(one for one, _ in taken),
        statistics.median(two for _, two in taken),
        statistics.median(one / two for one, two in taken),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.yml"
        empty.write_text(EMPTY)
        play = [str(BIN / "ansible-playbook"), "-i", INVENTORY]
        nothing = [*play, str(empty), "-l", "pbx22"]
        diagnosis = [*play, "playbooks/diagnose-server.yml", "-l", "pbx22"]
        both = [*play, "playbooks/diagnose-server.yml", "-l", "pbx22,pbx16"]
        wrapper = [str(BIN / "reconnect"), "diagnose-server", "pbx22", "--inventory", INVENTORY, "--json"]
        comparisons = [
            ("a healthy diagnosis", lambda: once(diagnosis), "an empty play", lambda: once(nothing)),
            ("two servers at once", lambda: once(both), "one server", lambda: once(diagnosis)),
            ("through the wrapper", lambda: once(wrapper), "ansible-playbook alone", lambda: once(diagnosis)),
        ]
        figures = []
        for what, first, against, second in comparisons:
            seconds, against_seconds, ratio = pairs(options.runs, first, second)
            figures.append(Figure(what, seconds, against, against_seconds, ratio))
        subprocess.run([LAB, "break", "asterisk_hung", "--host", "pbx22"], check=True, capture_output=True)
        try:
            well = [*diagnosis[:-1], "pbx16"]
            seconds, against_seconds, ratio = pairs(options.runs, lambda: once(diagnosis), lambda: once(well))
            figures.append(Figure("a hung Asterisk", seconds, "a healthy server", against_seconds, ratio))
        finally:
            subprocess.run([LAB, "heal", "asterisk_hung"], check=True, capture_output=True)

    if options.json:
        print(json.dumps([asdict(one) for one in figures], indent=1))
        return
    for one in figures:
        print(f"{one.what:22} {one.seconds:6.2f} s   {one.against:24} {one.against_seconds:6.2f} s   × {one.ratio:.2f}")


if __name__ == "__main__":
    main()
