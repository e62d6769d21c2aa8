"""What a command costs before it does anything, and what its largest libraries do, as ratios of CPU time to an empty
Python; and an empty play through the warm process as a ratio to one that is started. No lab needed.

``--runs N`` sets the number of pairs.
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial

from measure import BIN, ROOT, cpu, once, pairs, place
from reconnect.ansible.processes import wait_until
from reconnect.ansible.warm.starting import Warm
from store import filled

#: The words of a command, and at most so many times an empty Python.
COMMANDS: dict[str, float] = {"--help": 12, "show latest": 30}
#: What `show` cannot do without.
LIBRARIES = ("sqlalchemy", "pydantic_settings", "typer")
#: Ansible starts with UTF-8 only.
ENVIRONMENT = {"LC_ALL": "C.UTF-8"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    with place() as folder:
        filled(folder, 1)
        started = {words: [str(BIN / "reconnect"), *words.split()] for words in COMMANDS}
        started.update({f"import {name}": [sys.executable, "-c", f"import {name}"] for name in LIBRARIES})
        for what, command in started.items():
            seconds, against, ratio = pairs(
                options.runs, partial(cpu, command), partial(cpu, [sys.executable, "-c", "pass"])
            )
            bar = f"   bar × {COMMANDS[what]:g}" if what in COMMANDS else ""
            print(f"{what:24} {seconds:6.3f} CPU s   an empty Python {against:6.3f} CPU s   × {ratio:5.1f}{bar}")
        os.environ.update(ENVIRONMENT)
        empty = folder / "empty.yml"
        empty.write_text("- hosts: all\n  gather_facts: false\n  tasks: []\n")
        warm = Warm(folder / "warm", ROOT / "collections/ansible_collections/privatewave/reconnect", idle=60)
        play = ["ansible-playbook", "-i", "localhost,", "-c", "local", str(empty)]
        wait_for(warm)
        seconds, against, ratio = pairs(
            options.runs,
            partial(once, warm.command(play)),
            partial(once, [str(BIN / play[0]), *play[1:]]),
        )
        print(f"{'an empty play, warm':22} {seconds:6.3f} s   started {against:14.3f} s   × {ratio:5.2f}")


def wait_for(warm: Warm) -> None:
    """Has the warm process listen."""
    warm.begin("ansible-playbook", {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")})
    if not wait_until(lambda: any(file.is_socket() for file in warm.folder.iterdir()), 60):
        raise SystemExit("The warm process did not begin.")


if __name__ == "__main__":
    main()
