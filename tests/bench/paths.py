"""How long the paths to many servers take from the control node, as ratios to an empty play. No lab needed.

The servers are addresses of loopback that answer a TLS handshake and OPTIONS. ``--runs N`` sets the number of pairs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import ssl
import subprocess
import sys
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from commands import EMPTY
from measure import BIN, ROOT, once, pairs, place, timed

sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.privatewave.reconnect.plugins.module_utils._net import path

SIZES = (1, 50, 200)
NETWORK = "127.0.1"
#: What an answer repeats of its request (RFC 3261, 8.2.6.2).
REPEATED = ("via", "from", "to", "call-id", "cseq")
CERTIFICATE = (
    *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=pbx"),
    *("-keyout", "key.pem", "-out", "certificate.pem", "-addext"),
    "subjectAltName=" + ",".join(f"IP:{NETWORK}.{number}" for number in range(1, max(SIZES) + 1)),
)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    repeated = [line for line in head.split("\r\n") if line.partition(":")[0].strip().lower() in REPEATED]
    writer.write("\r\n".join(["SIP/2.0 200 OK", *repeated, "Content-Length: 0", "", ""]).encode())
    await writer.drain()
    await reader.read()
    writer.close()


def _serve(folder: Path, told: Connection) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")

    async def serve() -> None:
        server = await asyncio.start_server(_answer, "0.0.0.0", 0, ssl=context, backlog=500)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


def probe(size: int, port: int, ca: Path) -> None:
    """Prints how many of so many servers answered everything."""
    profile = {"minimum_version": "1.2", "ciphers": "ECDHE+AESGCM"}
    targets = [
        {
            "name": f"pbx{number}",
            "addresses": [f"{NETWORK}.{number}"],
            "transports": [{"transport": "tls", "port": port}],
            "user": "601",
            "tls_ca": ca.read_text(encoding="ascii"),
            "tls_profile": profile,
            **dict.fromkeys(("sip_domain", "srv", "provisioning_url"), ""),
            "resolvers": [],
        }
        for number in range(1, size + 1)
    ]
    seen = path.probe_targets(targets, "control")  # type: ignore[arg-type]
    answered = [
        one["ok"] and all(step["ok"] for kind in ("tls", "sip", "icmp") for step in one["data"][kind].values())
        for one in seen.values()
    ]
    print(json.dumps(sum(answered)))


def measured(size: int, port: int, ca: Path) -> float:
    """Seconds for the paths to so many servers, all of which answer."""
    seconds, said = timed([sys.executable, __file__, "--probe", str(size), str(port), str(ca)])
    if json.loads(said) != size:
        raise SystemExit(f"{said.strip()} of {size} servers answered")
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--probe", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.probe:
        size, port, ca = options.probe
        probe(int(size), int(port), Path(ca))
        return
    with place() as folder:
        subprocess.run(CERTIFICATE, cwd=folder, check=True, capture_output=True, timeout=30)
        (folder / "empty.yml").write_text(EMPTY)
        empty = [str(BIN / "ansible-playbook"), "-i", "servers,", str(folder / "empty.yml")]
        here, there = multiprocessing.Pipe()
        server = multiprocessing.get_context("fork").Process(target=_serve, args=(folder, there), daemon=True)
        server.start()
        port = here.recv()
        for size in SIZES:
            seconds, against, ratio = pairs(
                options.runs, partial(measured, size, port, folder / "certificate.pem"), partial(once, empty)
            )
            print(f"paths to {size:>3} servers  {seconds:5.2f} s   an empty play  {against:5.2f} s   × {ratio:.2f}")
        server.kill()


if __name__ == "__main__":
    main()
