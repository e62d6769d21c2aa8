"""The lab's Request Tracker, asked as an engineer would, over REST 2.0."""

from __future__ import annotations

import base64
import gzip
import json
import urllib.request
from typing import Any

from trials.tools import ROOT

STATE = ROOT / "tests" / "lab" / ".state"


def own() -> dict[str, str]:
    """Where it is, and who may log in."""
    return json.loads((STATE / "secrets.yml").read_text())["tracker"]


def environment() -> dict[str, str]:
    """What the command has to know of it."""
    return {
        "RECONNECT_RT_URL": own()["url"],
        "RECONNECT_RT_TOKEN_FILE": str(STATE / "tracker_token"),
        "RECONNECT_RT_SECOND_LEVEL_OWNER": "second-level",
        "NO_PROXY": "198.18.20.5",
    }


def ask(path: str, body: dict | None = None) -> Any:
    """A question, or with a body a change."""
    request = urllib.request.Request(
        f"{own()['url']}/REST/2.0/{path}",
        data=json.dumps(body).encode() if body else None,
        headers={
            "Authorization": f"token {(STATE / 'tracker_token').read_text().strip()}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
        return json.load(answer)


def ticket(subject: str = "Can't register", fields: dict | None = None, files: dict[str, bytes] | None = None) -> str:
    """The number of a new ticket."""
    attached = [
        {"FileName": name, "FileType": "text/plain", "FileContent": base64.b64encode(content).decode()}
        for name, content in (files or {}).items()
    ]
    words = {"Queue": "General", "Subject": subject, "Content": "408", "ContentType": "text/plain"}
    return str(ask("ticket", {**words, "CustomFields": fields or {}, "Attachments": attached})["id"])


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
