"""A run as one self-contained HTML page, in the incident's language: no network, no foreign font, only its own script.

Everything that is printed passes `_shown` and Jinja2's autoescape, whatever a template says: what a server, a client or
an incident wrote stays text.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from reconnect import texts
from reconnect.reports.changes import changes
from reconnect.reports.html.view import Detail, PageView, cut, evidence_texts, page_view
from reconnect.reports.path import CONDITIONS
from reconnect.reports.redaction import Redaction
from reconnect.result import Result, to_json
from reconnect.runs.record import Record
from reconnect.text import printable

#: The largest page, in bytes: mail systems and trackers accept it, and a phone opens it.
MAX_BYTES = 490_000

_BARE = Detail(packed=True, evidence=False, standing=False, passes=False, well=False)
#: What is left out of a page that is too large, step by step; the first step only packs it.
_DETAILS = (
    Detail(),
    Detail(packed=True),
    Detail(packed=True, characters=4_000, left_out="page.left_out.long"),
    Detail(packed=True, evidence=False, left_out="page.left_out.evidence"),
    Detail(packed=True, evidence=False, passes=False, left_out="page.left_out.passes"),
    replace(_BARE, findings=40, left_out="page.left_out.well"),
    replace(
        _BARE,
        findings=8,
        proofs=2,
        pictures=5,
        servers=60,
        rows=150,
        left_out="page.left_out.pictures",
    ),
    replace(_BARE, findings=8, proofs=2, pictures=5, servers=25, rows=150, left_out="page.left_out.first_only"),
    replace(_BARE, findings=8, servers=5, rows=60, left_out="page.left_out.first_only"),
)
_TEXT_CHARACTERS = 4_000
#: The most servers of a page that is not packed.
_PLAIN = 4
_PACKED = '<script type="text/plain" id="packed"></script>'


def page(
    record: Record,
    results: Sequence[Result],
    evidence: Mapping[str, Mapping[str, Any]] | None = None,
    secrets: Iterable[str] = (),
    numbers: bool = False,
) -> str:
    """The page of a run. `evidence` is the evidence document of each server; `secrets` are texts that appear nowhere,
    `numbers` masks telephone numbers. A large page says what it leaves out."""
    language = record.request.language
    say = functools.partial(texts.text, language=language)
    redaction = redaction_of(secrets, numbers)
    view_of = clean_view(record, results, evidence or {}, redaction)
    text = ""
    # Many servers never fit unpacked.
    for detail in _DETAILS[len(results) > _PLAIN :]:
        if detail.packed and len(results) == 1:
            detail = replace(detail, packed=False)
        view = view_of(detail)
        text = redaction.known(
            _environment()
            .get_template("page.html.j2")
            .render(page=view, packed=detail.packed, language=language, t=say)
        )
        if detail.packed:
            # No other text has a tag in it.
            text = text.replace(_PACKED, _PACKED.replace("><", f">{_packed(view, redaction, say)}<"))
        if len(text.encode()) <= MAX_BYTES:
            break
    return text


def redaction_of(secrets: Iterable[str], numbers: bool) -> Redaction:
    """Masks these secrets on a page, as they are and as HTML has them."""
    known = list(secrets)
    return Redaction([*known, *(str(Markup.escape(secret)) for secret in known)], numbers)


def cleaned(results: Sequence[Result], redaction: Redaction) -> list[Result]:
    """The results without secrets."""
    return [Result.model_validate(redaction.document(to_json(result))) for result in results]


def clean_view(
    record: Record, results: Sequence[Result], evidence: Mapping[str, Mapping[str, Any]], redaction: Redaction
) -> Callable[[Detail], PageView]:
    """What a page shows of a run, without secrets, as much of it as is wanted."""
    clean = cleaned(results, redaction)
    remedies = {result.server: [changes(remedy, redaction) for remedy in result.remedies] for result in results}
    measured = {server: evidence_texts(document, redaction) for server, document in evidence.items()}
    return functools.partial(page_view, record, clean, remedies, measured)


def environment(*packages: str) -> jinja2.Environment:
    """Templates of these packages, the first before the others; what they print is text, whatever they say."""
    made = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package) for package in packages]),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["conditions"] = CONDITIONS
    made.filters["long"] = lambda text: Markup.escape(printable(str(text)))
    return made


def _packed(view: PageView, redaction: Redaction, say: Callable[..., str]) -> str:
    """The servers' parts of the page with each line once: the lines, then for each part the distances from one of its
    lines to the next; no text has the separator (zlib, base64)."""
    part = _environment().get_template("part.html.j2")
    lines: dict[str, int] = {}
    parts = []
    for one in view.servers:
        numbers = [
            lines.setdefault(line, len(lines)) for line in redaction.known(part.render(one=one, t=say)).split("\n")
        ]
        parts.append(" ".join(str(to - start) for start, to in zip([0, *numbers], numbers, strict=False)))
    content = "\0".join(["\n".join(lines), *parts])
    return base64.b64encode(zlib.compress(content.encode(), 9)).decode()


@functools.cache
def _environment() -> jinja2.Environment:
    made = environment("reconnect.reports.html")
    style, script = own("style.css"), own("page.js")
    made.globals.update(
        style=Markup(style),
        script=Markup(script),
        policy=(
            f"default-src 'none'; style-src {_hashed(style)}; script-src {_hashed(script)}; "
            "base-uri 'none'; form-action 'none'"
        ),
    )
    return made


def _shown(value: object) -> object:
    """Every printed expression passes here: printable, and not too long."""
    return value if isinstance(value, Markup) else cut(printable(str(value)), _TEXT_CHARACTERS)


def own(name: str) -> str:
    """A file that belongs to the page."""
    return resources.files("reconnect.reports.html").joinpath("templates", name).read_text(encoding="utf-8")


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
