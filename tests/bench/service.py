"""How fast the service answers, over HTTP on this machine, each figure from a service of its own.

``hooks``  distinct signed deliveries at a steady rate, without a worker, each timed from the moment that it was due
``list``   the newest 50 runs of a full store
``event``  from `POST /v1/runs` to the run's first event; its server does not answer

``RECONNECT_DATABASE`` measures on that database, which must be empty. Latencies are in milliseconds; of several rounds
the median of each figure is printed.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import secrets
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from measure import BIN, ROOT
from store import filled

SECRET = "of-this-benchmark"
HOST = "127.0.0.1"
#: Connections that send at the same time.
SENDERS = 16


@contextlib.contextmanager
def served(folder: Path, *words: str) -> Iterator[int]:
    """A service with this state folder; its port."""
    with socket.create_server((HOST, 0)) as free:
        port = int(free.getsockname()[1])
    inventory = folder / "inventory"
    inventory.write_text(f"[servers]\npbx0 ansible_host={HOST} ansible_port=1\n")
    settings = {
        "RECONNECT_STATE_DIR": str(folder),
        "RECONNECT_INVENTORY": str(inventory),
        "RECONNECT_SERVICE_PORT": str(port),
        "RECONNECT_SERVICE_METRICS_PORT": "0",
        "RECONNECT_SERVICE_REQUESTS": "1000000",
        "RECONNECT_SERVICE_HOOKS": json.dumps({"rt": {"secret": SECRET}}),
        "RECONNECT_RT_URL": "http://127.0.0.1:1",
        "RECONNECT_RT_TOKEN": "none",
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [BIN / "reconnect", "serve", *words],
            cwd=ROOT,
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
    try:
        while status(port, "/readyz") != 200:
            if process.poll() is not None:
                raise SystemExit((folder / "log").read_text()[-2000:])
            time.sleep(0.1)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def status(port: int, path: str) -> int:
    """How the service answers; 0: not at all."""
    try:
        with contextlib.closing(http.client.HTTPConnection(HOST, port, timeout=5)) as connection:
            connection.request("GET", path)
            return connection.getresponse().status
    except OSError:
        return 0


def delivery(number: int) -> tuple[bytes, dict[str, str]]:
    """A delivery about an incident of its own, signed as Standard Webhooks are."""
    body = json.dumps({"ticket": number, "user": "ann"}).encode()
    name, at = secrets.token_hex(16), str(int(time.time()))
    signed = hmac.new(SECRET.encode(), b".".join((name.encode(), at.encode(), body)), hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(signed).decode()}"
    return body, {"webhook-id": name, "webhook-timestamp": at, "webhook-signature": signature}


def hooks(port: int, rate: float, seconds: float) -> list[float]:
    """Milliseconds that each delivery waited for its answer, from when it was due."""
    kept = threading.local()
    began = time.monotonic() + 0.5

    def send(number: int) -> float:
        due = began + number / rate
        time.sleep(max(0.0, due - time.monotonic()))
        if not hasattr(kept, "connection"):
            kept.connection = http.client.HTTPConnection(HOST, port, timeout=30)
        body, headers = delivery(number + 1)
        kept.connection.request("POST", "/hooks/rt", body, headers)
        answer = kept.connection.getresponse()
        words = answer.read()
        if answer.status != 202:
            raise SystemExit(f"a delivery was answered {answer.status}: {words.decode()}")
        return (time.monotonic() - due) * 1000

    with ThreadPoolExecutor(SENDERS) as pool:
        return list(pool.map(send, range(int(rate * seconds))))


def token(folder: Path) -> dict[str, str]:
    """What a request of second level has in its head."""
    made = subprocess.run(
        [BIN / "reconnect", "tokens", "add", "bench", "--role", "second_level"],
        env={**os.environ, "RECONNECT_STATE_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return {"Authorization": f"Bearer {made.stdout.strip()}", "Content-Type": "application/json"}


def lists(port: int, headers: dict[str, str], number: int) -> list[float]:
    """Milliseconds that each page of runs took."""
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    found = []
    for _ in range(number):
        start = time.monotonic()
        connection.request("GET", "/v1/runs?limit=50", headers=headers)
        answer = connection.getresponse()
        words = answer.read()
        if answer.status != 200:
            raise SystemExit(f"the list was answered {answer.status}: {words.decode()}")
        found.append((time.monotonic() - start) * 1000)
    return found


def first_events(port: int, headers: dict[str, str], number: int) -> list[float]:
    """Milliseconds from the request for a run to its first event, one run after the other."""
    found = []
    for _ in range(number):
        connection = http.client.HTTPConnection(HOST, port, timeout=60)
        body = json.dumps({"playbook": "diagnose-server", "servers": ["pbx0"]})
        start = time.monotonic()
        connection.request("POST", "/v1/runs", body, {**headers, "Idempotency-Key": secrets.token_hex(8)})
        answer = connection.getresponse()
        said = json.loads(answer.read())
        if answer.status != 202:
            raise SystemExit(f"the run was answered {answer.status}: {said}")
        connection.request("GET", f"/v1/runs/{said['id']}/events", headers=headers)
        events = connection.getresponse()
        while not events.readline().startswith(b"data:"):
            pass
        found.append((time.monotonic() - start) * 1000)
        connection.close()
        ended = http.client.HTTPConnection(HOST, port, timeout=60)
        ended.request("GET", f"/v1/runs/{said['id']}?wait=25", headers=headers)
        ended.getresponse().read()
        ended.close()
    return found


def report(name: str, rounds: Sequence[list[float]]) -> None:
    """Prints the median of each figure over the rounds."""

    def over(figure: Callable[[list[float]], float]) -> float:
        return statistics.median(figure(one) for one in rounds)

    p50, most = over(statistics.median), over(max)
    p99 = over(lambda one: statistics.quantiles(one, n=100, method="inclusive")[98])
    print(f"{name:28} {len(rounds)} × {len(rounds[0])}   p50 {p50:7.1f}   p99 {p99:7.1f}   most {most:7.1f} ms")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=["hooks", "list", "event"], help="hooks, list, event")
    parser.add_argument("--rate", type=float, default=50, help="deliveries a second")
    parser.add_argument("--seconds", type=float, default=60, help="how long deliveries come in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=100_000, help="runs in the store of the list")
    options = parser.parse_args()
    rounds: dict[str, list[list[float]]] = {what: [] for what in options.what}
    for what, taken in rounds.items():
        for _ in range(1 if what == "list" else options.rounds):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                if what == "list":
                    filled(folder, options.runs)
                headers = token(folder)
                with served(folder, *(["--no-worker"] if what != "event" else [])) as port:
                    if what == "hooks":
                        taken.append(hooks(port, options.rate, options.seconds))
                    elif what == "list":
                        taken += [lists(port, headers, 200) for _ in range(options.rounds)]
                    else:
                        taken.append(first_events(port, headers, 20))
    for what, taken in rounds.items():
        report({"hooks": f"hooks, {options.rate:g} a second"}.get(what, what), taken)


if __name__ == "__main__":
    main()
