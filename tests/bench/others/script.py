"""The checks of tests/bench/peers.py by pyinfra, as one script on the server and one on the control node."""

from pathlib import Path

from pyinfra import host
from pyinfra.operations import python, server

script = server.script(name="Checks", src=str(Path(host.data.folder, f"{host.data.place}.sh")))
python.call(name="Answers", function=lambda: print(script.stdout))
