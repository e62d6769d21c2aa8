"""What third level needs of a run, in one archive: evidence, configuration, log windows, versions, report and results.

Everything passes the redaction; `manifest.json` lists what is in, what was masked, and what was left out and why.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from reconnect.reports import comment, pages
from reconnect.reports.redaction import Redaction, command_of, names_only
from reconnect.result import Result, to_json
from reconnect.runs.store import Run
from reconnect.settings import Settings

#: The largest bundle, in bytes before compression; mail systems and trackers accept it compressed.
MAX_BYTES = 24 * 1024**2
#: The largest file in it, in bytes.
MAX_FILE_BYTES = 4 * 1024**2

SCHEMA = "reconnect/bundle/v1"
_PACKAGES = ("reconnect", "ansible-core", "ansible-runner")
# Parts of the evidence that get files of their own, because people look for them.
_LOGS = (
    ("asterisk", "log"),
    ("asterisk", "security_log"),
    ("asterisk", "crashes"),
    ("host", "kernel_log"),
    ("account", "sessions"),
)
_VERSIONS = (("host", "os"), ("asterisk", "version"), ("asterisk", "control"), ("database", "login"))


@dataclass(frozen=True)
class Bundle:
    """The archive (tar, gzip) and its manifest."""

    name: str
    content: bytes
    manifest: dict[str, Any]


def bundle_of(run: Run, results: Sequence[Result], settings: Settings) -> Bundle:
    """The bundle of `run`; the same run gives the same bytes."""
    redaction = Redaction(pages.secrets_of(settings), settings.mask_numbers)
    included: list[dict[str, Any]] = []
    left_out: list[dict[str, str]] = _never(run)
    contents: list[tuple[str, bytes]] = []
    size = 0
    for name, content in _files(run, results, settings, redaction, left_out):
        if len(content) > MAX_FILE_BYTES:
            left_out.append({"name": name, "why": f"{len(content)} bytes; the limit is {MAX_FILE_BYTES}"})
        elif size + len(content) > MAX_BYTES:
            left_out.append({"name": name, "why": f"the bundle would be larger than {MAX_BYTES} bytes"})
        else:
            size += len(content)
            contents.append((name, content))
            included.append({"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    manifest = {
        "schema": SCHEMA,
        "run_id": run.run_id,
        "servers": run.record.request.servers,
        "included": included,
        "taken_out": dict(sorted((+redaction.taken).items())),
        "left_out": left_out,
    }
    folder = f"reconnect-{run.run_id}"
    archive = _archive(folder, [("manifest.json", _json(manifest)), *contents], int(run.record.started_at.timestamp()))
    return Bundle(f"{folder}.tar.gz", archive, manifest)


def _record(run: Run) -> dict[str, Any]:
    """The record as it is kept, without the values of variables that a person typed for Ansible."""
    request = run.record.request
    typed = {"command": command_of(request), "extra_vars": [names_only(one) for one in request.extra_vars]}
    return run.record.model_copy(update={"request": request.model_copy(update=typed)}).model_dump(mode="json")


def _files(
    run: Run,
    results: Sequence[Result],
    settings: Settings,
    redaction: Redaction,
    left_out: list[dict[str, str]],
) -> Iterator[tuple[str, bytes]]:
    """The files, the most important first; missing ones are added to `left_out`."""
    yield "report.txt", redaction.text(comment.text(run.record, results)).encode()
    yield "report.html", pages.page_of(run, results, settings).encode()
    yield "run.json", _json(redaction.document(_record(run)))
    yield "versions.json", _json(redaction.document(_versions(run, results)))
    for number, result in enumerate(results, 1):
        # A foreign name never becomes part of a path.
        folder = f"servers/{number:03d}"
        yield f"{folder}/result.json", _json(redaction.document(to_json(result)))
        for after in (False, True):
            document = run.evidence(result.server, after)
            name = f"{folder}/evidence{'.after' if after else ''}.json"
            if document:
                yield name, _json(redaction.document(document))
            elif not after:
                left_out.append({"name": name, "why": "the run kept no evidence of this server"})
            if run.record.request.capture and not after:
                packets = run.packets(result.server)
                if packets is not None:
                    yield f"{folder}/packets.pcap", packets
                else:
                    left_out.append({"name": f"{folder}/packets.pcap", "why": "no packets could be captured there"})
            if document and not after:
                yield f"{folder}/configuration.json", _json(redaction.document(document.get("settings", {})))
                yield f"{folder}/logs.json", _json(redaction.document(_parts(document, _LOGS)))


def _never(run: Run) -> list[dict[str, str]]:
    asked = run.record.request.capture
    return [
        {"name": "passwords, keys, digests", "why": "they are masked in every file"},
        {"name": "whole log files", "why": "only the log windows of the evidence are kept"},
        {"name": "configuration files", "why": "only the configuration of the evidence is kept"},
        {
            "name": "packets",
            "why": "only SIP's ports; digests, keys and texts of messages are overwritten with x, TLS stays encrypted"
            if asked
            else "the run did not capture packets",
        },
    ]


def _versions(run: Run, results: Sequence[Result]) -> dict[str, Any]:
    return {
        "control": {name: _version(name) for name in _PACKAGES},
        "servers": {result.server: _parts(run.evidence(result.server), _VERSIONS) for result in results},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _parts(document: dict[str, Any], wanted: Sequence[tuple[str, str]]) -> dict[str, Any]:
    found = {}
    for subject, probe in wanted:
        probes = document.get(subject)
        if isinstance(probes, dict) and probe in probes:
            found[f"{subject}.{probe}"] = probes[probe]
    return found


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n").encode(errors="backslashreplace")


def _archive(folder: str, files: Sequence[tuple[str, bytes]], at: int) -> bytes:
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=at) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for name, content in files:
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mtime, entry.mode = len(content), at, 0o600
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
