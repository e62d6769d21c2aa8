"""The checks of tests/bench/peers.py by pyinfra: its facts, and an operation for each that has none."""

import json
from pathlib import Path

from pyinfra import host
from pyinfra.facts.server import Port
from pyinfra.facts.systemd import SystemdStatus
from pyinfra.operations import python, server

wanted = json.loads(Path(host.data.folder, "checks.json").read_text())
commands = wanted["commands"][host.data.place]
answers: dict[str, str] = {}
if "units" in commands:
    active = host.get_fact(SystemdStatus, services=wanted["units"])
    answers["units"] = " ".join("active" if active[unit] else "inactive" for unit in wanted["units"])
    answers["socket"] = str(host.get_fact(Port, port=wanted["sip_port"])[0])
asked = {name: server.shell(name=name, commands=[command]) for name, command in commands.items() if name not in answers}


def tell() -> None:
    """Prints what every check answered."""
    told = {**answers, **{name: operation.stdout for name, operation in asked.items()}}
    print("\n".join(f"== {name} ==\n{answer}" for name, answer in told.items()))


python.call(name="Answers", function=tell)
