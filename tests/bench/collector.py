"""What a diagnosis costs a server: its collector, kept there against sent each time, measured in turn.

Figures are CPU seconds of the script and of the programs that it starts, as the server counts them, and bytes sent.
``--server NAME`` names a server of the lab, ``--runs N`` sets the number of pairs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from measure import ROOT, STATE, inventory, pairs, ssh

sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.privatewave.reconnect.plugins.plugin_utils.payload import (
    SCRIPTS,
    SERVER_INFO,
    script,
)
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.settings import settings

_COUNT = """

import resource
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(sum(one.ru_utime + one.ru_stime for one in used), used[0].ru_maxrss)
"""


class Server:
    """A server of the lab, reached as Ansible reaches it."""

    def __init__(self, name: str) -> None:
        variables = inventory(name)
        self._ssh = [*ssh(variables["ansible_host"]), "python3 -"]
        plain = {key: value for key, value in variables.items() if "{{" not in str(value)}
        self._arguments = {"settings": settings(plain), "tls_ca": (STATE / "ca.crt").read_text()}
        self.bytes = 0
        self.memory = 0

    def ask(self, kept: bool) -> float:
        """CPU seconds of one collection."""
        sent = script(SCRIPTS[SERVER_INFO], self._arguments, kept)
        self.bytes = len(sent)
        ended = subprocess.run(
            self._ssh, input=sent + _COUNT.encode(), capture_output=True, timeout=60, check=True, text=False
        )
        answer, counted = ended.stdout.decode().splitlines()
        if "host" not in json.loads(answer):
            sys.exit(f"the server did not answer: {answer[:200]}")
        seconds, memory = counted.split()
        self.memory = int(memory)
        return float(seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="pbx22")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    server = Server(options.server)
    server.ask(kept=False)
    seconds, against, ratio = pairs(options.runs, lambda: server.ask(kept=True), lambda: server.ask(kept=False))
    server.ask(kept=False)
    sent = server.bytes
    server.ask(kept=True)
    print(f"kept {seconds:.3f} CPU s   sent {against:.3f} CPU s   × {ratio:.2f}")
    print(f"kept {server.bytes} bytes   sent {sent} bytes   memory {server.memory // 1024} MB")


if __name__ == "__main__":
    main()
