"""The lab's Request Tracker, asked as an engineer would, over REST 2.0."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labkit.state import HOOK
from trials.tools import INVENTORY, RECONNECT, ROOT, until

STATE = ROOT / "tests" / "lab" / ".state"
#: Where it looks for the service.
SERVICE = HOOK.removesuffix("/hooks/rt")


def own() -> dict[str, str]:
    """Where it is, and who may log in."""
    found: dict[str, str] = json.loads((STATE / "secrets.yml").read_text())["tracker"]
    return found


def environment() -> dict[str, str]:
    """What the command has to know of it."""
    return {
        "RECONNECT_RT_URL": own()["url"],
        "RECONNECT_RT_TOKEN_FILE": str(STATE / "tracker_token"),
        "RECONNECT_RT_SECOND_LEVEL_OWNER": "second-level",
        "NO_PROXY": "198.18.20.5",
    }


@contextlib.contextmanager
def served(folder: Path, surroundings: dict[str, str]) -> Iterator[None]:
    """The service, where it calls; what an incident begins may fix what needs no approval. Policy and log go into the
    folder."""
    (folder / "policy.yml").write_text("incidents: {fix: true}\n")
    process = begin(folder, surroundings)
    try:
        until(ready)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def begin(folder: Path, surroundings: dict[str, str]) -> subprocess.Popen[bytes]:
    """The service, where it calls, as it begins; with the policy in the folder, and its log there."""
    host, _, port = SERVICE.rpartition("/")[2].partition(":")
    hooks = {"rt": {"secret_file": str(STATE / "hook_secret"), "ignore_user": own()["user"]}}
    settings = {
        "RECONNECT_SERVICE_HOST": host,
        "RECONNECT_SERVICE_PORT": port,
        "RECONNECT_SERVICE_METRICS_PORT": "0",
        "RECONNECT_SERVICE_HOOKS": json.dumps(hooks),
        "RECONNECT_INVENTORY": str(ROOT / INVENTORY),
        "RECONNECT_POLICY": str(folder / "policy.yml"),
    }
    with (folder / "service.log").open("ab") as log:
        return subprocess.Popen(
            [RECONNECT, "serve"],
            cwd=ROOT,
            env={**os.environ, **environment(), **settings, **surroundings},
            stdin=subprocess.DEVNULL,
            stderr=log,
        )


def ready() -> bool:
    """Whether the service works."""
    try:
        with open_url(f"{SERVICE}/readyz") as answer:
            return bool(answer.status == 200)
    except urllib.error.URLError:
        return False


def open_url(request: str | urllib.request.Request) -> Any:
    """No proxy is asked: it is in the lab."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20)


def ask(path: str, body: dict[str, Any] | None = None, user: str | None = None, method: str | None = None) -> Any:
    """A question, or with a body a change (POST); by Reconnect's own user unless it is `root`."""
    request = urllib.request.Request(
        f"{own()['url']}/REST/2.0/{path}",
        data=json.dumps(body).encode() if body else None,
        headers={
            "Authorization": _login(user),
            "Content-Type": "application/json",
        },
        method=method,
    )
    with open_url(request) as answer:
        return json.load(answer)


def _login(user: str | None) -> str:
    if user is None:
        return f"token {(STATE / 'tracker_token').read_text().strip()}"
    words = f"{user}:{own()[f'{user}_password']}"
    return f"Basic {base64.b64encode(words.encode()).decode()}"


def ticket(
    subject: str = "Can't register",
    fields: dict[str, Any] | None = None,
    files: dict[str, bytes] | None = None,
    user: str | None = None,
) -> str:
    """The number of a new ticket."""
    attached = [
        {"FileName": name, "FileType": "text/plain", "FileContent": base64.b64encode(content).decode()}
        for name, content in (files or {}).items()
    ]
    words = {"Queue": "General", "Subject": subject, "Content": "408", "ContentType": "text/plain"}
    return str(ask("ticket", {**words, "CustomFields": fields or {}, "Attachments": attached}, user)["id"])


def marked(number: str) -> list[str]:
    """The markers of what we told the ticket, the oldest first."""
    items = ask(f"ticket/{number}/attachments?fields=Subject&per_page=100")["items"]
    return [item["Subject"] for item in items if item["Subject"].startswith("reconnect-")]


def subjects(number: str) -> list[str]:
    """Of what kind each was."""
    return [marker.rpartition("-")[2] for marker in marked(number)]


def files(number: str) -> list[str]:
    """The names of what is attached."""
    items = ask(f"ticket/{number}/attachments?fields=Filename&per_page=100")["items"]
    return [item["Filename"] for item in items if item.get("Filename")]


def told(number: str) -> dict[str, bytes]:
    """Every text of the ticket, and the files that we attached, by number and name; archives are unpacked."""
    found = {}
    for item in ask(f"ticket/{number}/attachments?fields=Filename&per_page=100")["items"]:
        name = item.get("Filename") or ""
        if not name or name.startswith("reconnect-"):
            content = base64.b64decode(ask(f"attachment/{item['id']}").get("Content") or "")
            found[f"{item['id']} {name}"] = gzip.decompress(content) if name.endswith(".gz") else content
    return found
