"""What things cost, as ratios of two commands measured in turn in the same run: make bench.

Absolute times differ between machines and moments; a ratio of pairs measured side by side holds. ``--runs N`` sets the
number of pairs, ``--json`` prints the figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from dataclasses import asdict, dataclass

from measure import BIN, ROOT, begin_warm, once, pairs, place

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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    with place() as folder:
        empty = folder / "empty.yml"
        empty.write_text(EMPTY)
        play = [str(BIN / "ansible-playbook"), "-i", INVENTORY]
        nothing = [*play, str(empty), "-l", "pbx22"]
        diagnosis = [*play, "playbooks/diagnose-server.yml", "-l", "pbx22"]
        both = [*play, "playbooks/diagnose-server.yml", "-l", "pbx22,pbx16"]
        warm = [str(BIN / "reconnect"), "diagnose-server", "pbx22", "--inventory", INVENTORY, "--json"]
        show = [str(BIN / "reconnect"), "show", "latest"]
        wrapper = ["env", "RECONNECT_WARM=0", *warm]
        comparisons = [
            ("a healthy diagnosis", lambda: once(diagnosis), "an empty play", lambda: once(nothing)),
            ("two servers at once", lambda: once(both), "one server", lambda: once(diagnosis)),
            ("through the wrapper", lambda: once(wrapper), "ansible-playbook alone", lambda: once(diagnosis)),
            ("the cold command", lambda: once(wrapper), "an empty play", lambda: once(nothing)),
            ("the warm command", lambda: once(warm), "an empty play", lambda: once(nothing)),
            ("the warm command", lambda: once(warm), "the cold command", lambda: once(wrapper)),
            ("show, warm", lambda: once(show), "an empty Python", lambda: once([str(BIN / "python"), "-c", "pass"])),
        ]
        begin_warm(warm)
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
