"""A line of a configuration file: deleted, commented, doubled, misspelt, or with another value."""

from __future__ import annotations

import re
from random import Random

from ..mutation import Facts, File, Mutation, drawn_file, effect, owner, write

COMMENT = re.compile(r"\s*([;#]|//|$)")
VALUE = re.compile(r"^(?P<key>\s*[^=\s;#]+\s*=>?\s*)(?P<value>[^;#\n]*?)(?P<rest>\s*([;#].*)?\n?)$")
NUMBER = re.compile(r"\d+")
OPPOSITE = {"yes": "no", "no": "yes", "true": "false", "false": "true", "on": "off", "off": "on"}
CAUSES = (
    "asterisk_config_invalid",
    "asterisk_module_missing",
    "asterisk_stopped",
    "asterisk_crash_looping",
    "transport_not_bound",
    "odbc_disconnected",
    "database_refuses_login",
    "database_stopped",
    "database_too_many_connections",
    "database_read_only",
    "firewall_host_blocks",
    "tls_no_common_version",
    "tls_key_unusable",
    "account_missing",
)


def draw(rng: Random, facts: Facts) -> Mutation | None:
    """One line of one file that has a line which says something."""
    texts = [one for one in facts.texts() if said(one) and not one.path.startswith("/etc/resolv")]
    if not texts:
        return None
    file = drawn_file(rng, texts)
    return of_file(rng, facts, file)


def of_file(rng: Random, facts: Facts, file: File) -> Mutation | None:
    """A mutation of a file's text."""
    assert file.text is not None
    lines = file.text.splitlines(keepends=True)
    number = rng.choice(said(file, rng.random() < 0.7) or said(file))
    line = lines[number]
    change = rng.choice(CHANGES if VALUE.match(line) else ("delete", "comment", "double", "misspell"))
    changed = changed_line(rng, change, line, lines)
    if changed is None or changed == line:
        return None
    unit = owner(file.path, facts)
    word, script = effect(rng, unit)
    text = "".join([*lines[:number], changed, *lines[number + 1 :]])
    return Mutation(
        kind=f"configuration.{change}",
        target=f"{file.path}:{number + 1}",
        before=line.strip(),
        after=changed.strip(),
        apply=write(file.path, text) + script,
        keeps=(file.path,),
        units=(unit,) if unit else (),
        effect=word,
        causes=CAUSES,
    )


CHANGES = ("delete", "comment", "double", "misspell", "value", "swap", "number", "empty", "truncate")


def said(file: File, without_noload: bool = False) -> list[int]:
    """The numbers of the lines that are no comments; a hundred modules that are not loaded can be left out."""
    return [
        number
        for number, line in enumerate((file.text or "").splitlines())
        if not COMMENT.match(line) and not (without_noload and line.startswith("noload"))
    ]


def changed_line(rng: Random, change: str, line: str, lines: list[str]) -> str | None:
    """The line after a change; None when it cannot be changed so."""
    if change == "delete":
        return ""
    if change == "comment":
        return f"{'#' if line.startswith(('table', 'chain', chr(9))) else ';'}{line}"
    if change == "double":
        return line + line
    if change == "misspell":
        letters = [place for place, letter in enumerate(line) if letter.isalnum()]
        place = rng.choice(letters)
        return line[:place] + line[place + 1 :]
    parts = VALUE.match(line)
    assert parts is not None
    value = parts["value"]
    if change == "value":
        new = OPPOSITE.get(value.lower(), "nosuch")
    elif change == "swap":
        others = [found["value"] for one in lines if (found := VALUE.match(one)) and found["value"] != value]
        if not others:
            return None
        new = rng.choice(others)
    elif change == "number":
        numbers = list(NUMBER.finditer(value))
        if not numbers:
            return None
        one = rng.choice(numbers)
        new = value[: one.start()] + another_number(rng, int(one[0])) + value[one.end() :]
    elif change == "truncate":
        new = value[: len(value) // 2]
    else:
        new = ""
    return f"{parts['key']}{new}{parts['rest']}"


def another_number(rng: Random, number: int) -> str:
    """A number that is off."""
    return str(rng.choice([number + 1, max(0, number - 1), number * 10, number // 10, 0]))
