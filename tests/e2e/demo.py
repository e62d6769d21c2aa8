"""The end of the demo: an incident of the lab's Request Tracker calls the service, which fixes it and closes it."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "faults"), str(ROOT / "tests" / "lab")]

from e2e import rt  # noqa: E402
from trials.tools import until  # noqa: E402

#: The longest that the demo waits for the incident to close, in seconds.
LIMIT = 180


def main(server: str, account: str) -> None:
    """Makes an incident of this account, and shows what becomes of it."""
    with tempfile.TemporaryDirectory() as folder, rt.served(Path(folder), {}):
        say(f"reconnect serve: {rt.SERVICE}")
        number = rt.ticket(
            "Cannot register", {"Server": server, "Account": account, "Internet connection": "yes"}, user="root"
        )
        page = f"{rt.own()['url']}/Ticket/Display.html?id={number}"
        say(f"A user has an incident made: {page}")
        say("Request Tracker calls the service over its scrip action, and the run begins by itself.")
        until(lambda: ended(number), LIMIT)
        incident = rt.ask(f"ticket/{number}")
        say(f"The incident is {incident['Status']}. It was told:")
        for name, text in rt.told(number).items():
            if not name.partition(" ")[2]:
                print(text.decode(errors="replace").strip(), end="\n\n")
        secrets = (rt.STATE / "secrets.yml").relative_to(ROOT)
        say(f"See it at {page} as root, with root_password of {secrets}. The service has ended.")


def ended(number: str) -> bool:
    """Whether it is closed, or told what a person has to do."""
    return "user" in rt.subjects(number) or rt.ask(f"ticket/{number}")["Status"] == "resolved"


def say(sentence: str) -> None:
    """A sentence of the demo."""
    print(f"\n== {sentence}", flush=True)


if __name__ == "__main__":
    os.environ["NO_COLOR"] = "1"
    main(*sys.argv[1:])
