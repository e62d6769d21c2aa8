"""Plots as SVG: bars with the range of what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from xml.sax.saxutils import escape

WIDTH, ROW, LABELS, SAID, TOP = 800, 28, 260, 150, 40
_HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
    'font-family="sans-serif" font-size="13">\n<title>{title}</title>\n'
    '<rect width="100%" height="100%" fill="#fff"/>\n<text x="10" y="24" font-weight="bold">{title}</text>\n'
)
_BAR = (
    '<text x="{label}" y="{text}" text-anchor="end">{name}</text>\n'
    '<rect x="{left}" y="{top}" width="{long:.1f}" height="16" fill="{colour}"/>\n'
    '<path d="M{least:.1f} {middle}H{most:.1f}" stroke="#333" stroke-width="1.5"/>\n'
    '<text x="{right:.1f}" y="{text}">{said}</text>\n'
)


@dataclass(frozen=True)
class Bar:
    """A median with the least and the most, and what is written beside it."""

    name: str
    median: float
    least: float
    most: float
    said: str
    own: bool = False


def bars(title: str, given: Sequence[Bar], holds_for: str) -> str:
    """The bars one below the other, on one scale; `own` ones have a colour of their own. Last, what they hold for."""
    scale = (WIDTH - LABELS - SAID) / max(one.most for one in given)
    below, last = TOP + ROW * len(given), wrap(holds_for, 130)
    drawn = [_HEAD.format(width=WIDTH, height=below + 14 * len(last) + 10, title=escape(title))]
    for top, one in zip(range(TOP, below, ROW), given, strict=True):
        drawn.append(
            _BAR.format(
                label=LABELS - 8,
                text=top + 13,
                name=escape(one.name),
                left=LABELS,
                top=top,
                long=one.median * scale,
                middle=top + 8,
                least=LABELS + one.least * scale,
                most=LABELS + one.most * scale,
                right=LABELS + one.most * scale + 8,
                said=escape(one.said),
                colour="#00796b" if one.own else "#90a4ae",
            )
        )
    text = '<text x="10" y="{}" font-size="10">{}</text>\n'
    drawn += [text.format(below + 14 * number, escape(line)) for number, line in enumerate(last, 1)]
    return "".join([*drawn, "</svg>\n"])
