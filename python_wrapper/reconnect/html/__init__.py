"""A run as one self-contained HTML page: no network, no foreign font or script, nothing that runs but its own lines.

Everything that is printed passes `_shown` and Jinja2's autoescape, whatever a template says: what a server, a client or
a ticket wrote stays text.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from reconnect.changes import changes
from reconnect.html.view import Detail, PageView, cut, evidence_texts, page_view
from reconnect.redaction import Redaction
from reconnect.result import Result, to_json
from reconnect.runs import Record
from reconnect.text import printable
from reconnect.way import WORDS

#: A page is never larger than this, in bytes: mail and ticket systems take it, and a phone opens it.
MAX_BYTES = 490_000

_BARE = Detail(packed=True, evidence=False, standing=False, passes=False, well=False)
_FIRST_ONLY = "the evidence, what passed, and the details of all servers but the first"
#: What is left out of a page that would be too large, step by step; before anything is, it is packed.
_DETAILS = (
    Detail(),
    Detail(packed=True),
    Detail(packed=True, characters=4_000, left_out="the longer parts of the evidence"),
    Detail(packed=True, evidence=False, left_out="the evidence"),
    Detail(packed=True, evidence=False, passes=False, left_out="the evidence and what passed"),
    replace(_BARE, findings=40, left_out="the evidence, what passed, and the details of the servers that are well"),
    replace(
        _BARE,
        findings=8,
        proofs=2,
        pictures=5,
        servers=60,
        rows=150,
        left_out="the evidence, what passed, the details of the servers that are well, and most pictures",
    ),
    replace(_BARE, findings=8, proofs=2, pictures=5, servers=25, rows=150, left_out=_FIRST_ONLY),
    replace(_BARE, findings=8, servers=5, rows=60, left_out=_FIRST_ONLY),
)
_TEXT_CHARACTERS = 4_000
#: So many servers may fit onto a page as they are.
_PLAIN = 4
_PACKED = '<script type="text/plain" id="packed"></script>'


def page(
    record: Record,
    results: Sequence[Result],
    evidence: Mapping[str, Mapping[str, Any]] | None = None,
    secrets: Iterable[str] = (),
    numbers: bool = False,
) -> str:
    """The page that tells of a run. `evidence` is the evidence document of each server; `secrets` are texts that may
    appear nowhere, `numbers` masks telephone numbers. What a large page leaves out, it says."""
    known = list(secrets)
    redaction = Redaction([*known, *(str(Markup.escape(secret)) for secret in known)], numbers)
    clean = [Result.model_validate(redaction.document(to_json(result))) for result in results]
    remedies = {result.server: [changes(remedy, redaction) for remedy in result.remedies] for result in results}
    measured = {server: evidence_texts(document, redaction) for server, document in (evidence or {}).items()}
    text = ""
    # Many servers never fit unpacked.
    for detail in _DETAILS[len(clean) > _PLAIN :]:
        if detail.packed and len(clean) == 1:
            detail = replace(detail, packed=False)
        view = page_view(record, clean, remedies, measured, detail)
        text = redaction.known(_environment().get_template("page.html.j2").render(page=view, packed=detail.packed))
        if detail.packed:
            # No text of anybody else has a tag in it.
            text = text.replace(_PACKED, _PACKED.replace("><", f">{_packed(view, redaction)}<"))
        if len(text.encode()) <= MAX_BYTES:
            break
    return text


def _packed(view: PageView, redaction: Redaction) -> str:
    """The servers' parts of the page with every line said once: the lines, then for each part how far it is from one of
    its lines to the next; no text has the character that stands between them (zlib, base64)."""
    part = _environment().get_template("part.html.j2")
    lines: dict[str, int] = {}
    ways = []
    for one in view.servers:
        numbers = [lines.setdefault(line, len(lines)) for line in redaction.known(part.render(one=one)).split("\n")]
        ways.append(" ".join(str(to - start) for start, to in zip([0, *numbers], numbers, strict=False)))
    content = "\0".join(["\n".join(lines), *ways])
    return base64.b64encode(zlib.compress(content.encode(), 9)).decode()


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reconnect.html"),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = _own("style.css"), _own("page.js")
    environment.globals.update(
        style=Markup(style),
        script=Markup(script),
        policy=(
            f"default-src 'none'; style-src {_hashed(style)}; script-src {_hashed(script)}; "
            "base-uri 'none'; form-action 'none'"
        ),
        words=WORDS,
    )
    environment.filters["long"] = lambda text: Markup.escape(printable(str(text)))
    return environment


def _shown(value: object) -> object:
    """What every printed expression becomes: printable, and of a bearable length."""
    return value if isinstance(value, Markup) else cut(printable(str(value)), _TEXT_CHARACTERS)


def _own(name: str) -> str:
    return resources.files("reconnect.html").joinpath("templates", name).read_text(encoding="utf-8")


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
