"""Every text for a user has an id, and says the same in every language."""

from __future__ import annotations

import ast
import re
import string
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from ansible_collections.privatewave.reconnect.plugins.callback.reconnect import SHOWN, UNSHOWN
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.documents import Outcome
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge import catalogue as causes
from babel.messages.pofile import read_po
from reconnect import outcomes, texts
from reconnect.reports.path import CONDITIONS, STATIONS
from reconnect.result import Message, Mode
from reconnect.runs.feed import Kind
from reconnect.service.audit import What
from reconnect.settings.service import Role

ROOT = Path(__file__).resolve().parents[3]
COLLECTION = ROOT / "collections" / "ansible_collections" / "privatewave" / "reconnect"
LANGUAGES = get_args(texts.Language)
#: Ids whose last part is a name of the code.
FAMILIES = {
    "outcome": list(outcomes.table()),
    "mode": get_args(Mode),
    "condition": CONDITIONS,
    "short": CONDITIONS,
    "station": STATIONS,
    "level": get_args(outcomes.Level),
    "right": ("none", "unknown"),
    "notify": [f"{kind}{what}" for kind in get_args(Kind) for what in ("", "_subject")] + ["since"],
    "state": ("ok", "changed", "failed", "ignored", "refused", "unreachable", "waiting"),
    "seen": get_args(Outcome),
    "role": (*get_args(Role), "shell"),
    "audit": [re.sub("[ -]", "_", what) for what in get_args(What)],
    "remedy": list(yaml.safe_load(Path(outcomes.__file__).with_name("remedies.yml").read_text())),
}


def placeholders(template: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_there_in_every_language(language: str) -> None:
    everything, english = texts.catalogue(language), texts.catalogue("en")
    own = {name: text for name, text in everything.items() if not name.startswith("cause.") and " " not in name}
    assert own.keys() == english.keys()
    assert [name for name, template in own.items() if not template.strip()] == []
    assert {name: placeholders(template) for name, template in own.items()} == {
        name: placeholders(template) for name, template in english.items()
    }


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])
def test_every_cause_has_a_title_in_every_language(language: str) -> None:
    # The English ones are in causes.yml.
    titled = {name.removeprefix("cause.") for name in texts.catalogue(language) if name.startswith("cause.")}
    assert titled == set(causes())


def test_a_title_that_no_catalogue_has_is_the_judges() -> None:
    assert texts.title("disk_full", "A disk is full") == "A disk is full"
    assert texts.title("disk_full", "A disk is full", "it") == "Un disco è pieno"
    assert texts.title("of_another_release", "Something {new}", "it") == "Something {new}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalogue_is_a_correct_po_file(language: str) -> None:
    file = resources.files("reconnect").joinpath("locale", language, "LC_MESSAGES", "reconnect.po")
    with file.open("rb") as stream:
        entries = [entry for entry in read_po(stream, locale=language, abort_invalid=True) if entry.id]
    assert [entry.id for entry in entries if entry.fuzzy] == []
    # Our own reader knows as much of the format as they use.
    assert {entry.id: entry.string for entry in entries} == texts.catalogue(language)


def test_a_message_is_said_in_the_language_of_its_reader() -> None:
    message = Message(id="user.try_again")
    assert texts.message(message) == "The server and the network path to it are fine. Please try to connect again."
    assert texts.message(message, "it").startswith("Il server e la rete che lo collega funzionano")


@pytest.mark.attack("templates in the arguments of a text", harm="execution")
def test_arguments_are_no_templates() -> None:
    said = texts.text("report.title", mode="{run}", servers="{0}{x.y}", run="%s")
    assert said == "Reconnect: {run} of {0}{x.y}, run %s"


def test_what_no_catalogue_knows_is_told_as_it_is() -> None:
    assert texts.text("user.of_another_release", "it") == "user.of_another_release"
    assert texts.message("A site's own {sentence}.", "it") == "A site's own {sentence}."
    assert texts.message(None) == ""


def test_every_id_is_used_and_every_used_id_is_there() -> None:
    there = set(texts.catalogue("en"))
    of_families = {f"{family}.{name}" for family, names in FAMILIES.items() for name in names}
    sources = [
        path.read_text()
        for top in ("python_wrapper", "collections")
        for path in (ROOT / top).rglob("*")
        if path.suffix in {".py", ".j2", ".yml"} and "output" not in path.parts
    ]
    named = set(re.findall(r"\b(?:user|report|page|question|screen)\.[a-zA-Z_.]+[a-zA-Z_]", "\n".join(sources)))
    assert of_families | {f"page.show.{name}" for name in ("all", "unwell", "fail", "warn", "unknown", "pass")} <= there
    built = {name for name in there if name.split(".")[0] in FAMILIES or name.startswith("page.show.")}
    built |= {f"page.{name}" for name in ("at", "step", "state", "took")}
    assert there - built - named == set()
    messages = set(re.findall(r"\buser_message: (user\.[a-z_]+)", "\n".join(sources)))
    assert messages - there == set()
    assert {name for name in built if name.split(".")[0] in FAMILIES} == of_families


def said_on_pages() -> list[tuple[str, str]]:
    """What the code of the pages says to a person who asks for what is not possible; x1 is what varies."""
    service = ROOT / "python_wrapper" / "reconnect" / "service"
    found = []
    for path in [*service.glob("*.py"), *(service / "screens").glob("*.py")]:
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                continue
            words = {"Problem": call.args[1:2], "InputError": call.args[:1]}.get(call.func.id, [])
            for word in words:
                parts = word.values if isinstance(word, ast.JoinedStr) else [word]
                said = "".join(str(part.value) if isinstance(part, ast.Constant) else "x1" for part in parts)
                found.append((path.name, said))
    return found


def shown_steps() -> set[str]:
    """The names of the tasks that a run shows as steps."""
    found: set[str] = set()

    def take(part: Any) -> None:
        if isinstance(part, list):
            for one in part:
                take(one)
        elif isinstance(part, dict):
            for inner in ("block", "rescue", "always", "tasks"):
                take(part.get(inner))
            # Ansible's own modules and ours have full names; a static import is no task.
            actions = {name.rpartition(".")[2]: part[name] for name in part if name.count(".") >= 2}
            facts = set(actions.get("set_fact") or ())
            if actions.keys() - UNSHOWN - {"import_tasks"} or facts & SHOWN:
                found.add(re.sub(r"\{\{.*?\}\}", "x1", part["name"]))

    for path in [*COLLECTION.glob("playbooks/**/*.yml"), *COLLECTION.glob("roles/*/tasks/**/*.yml")]:
        take(yaml.load(path.read_text(), yaml.CSafeLoader))
    return found


def test_every_step_that_a_run_shows_is_said_in_every_language() -> None:
    steps = shown_steps()
    assert {"Gather evidence", "Begin x1", "Judge the evidence"} <= steps
    assert [name for name in sorted(steps) if texts.sentence(name, "it") == name] == []
    assert texts.state("failed", "it") == "non riuscito"
    assert texts.state("of another release", "it") == "of another release"


def test_what_pages_refuse_is_said_in_every_language() -> None:
    # What only a program or a shell is told.
    others = {"answers.py", "openapi.py", "serve.py", "people.py", "app.py", "api.py"}
    english = [said for name, said in said_on_pages() if name not in others and said not in {"x1", "x1.", "x1: x1."}]
    assert len(english) > 25
    assert [said for said in english if texts.sentence(said, "it") == said] == []
    assert texts.sentence(english[0]) == english[0]
    # What the code does not say any more has no translation.
    code = "\n".join(path.read_text() for path in (ROOT / "python_wrapper" / "reconnect").rglob("*.py"))
    code += "\n".join(shown_steps())
    translated = [name for name in texts.catalogue("it") if " " in name]
    assert [name for name in translated if max(re.split(r"\{\w+\}", name), key=len) not in code] == []


@pytest.mark.attack("templates and patterns in a sentence that is translated", harm="execution")
def test_what_varies_in_a_sentence_stays_as_it_is() -> None:
    said = texts.sentence("'{0.x} (.*' is not an incident. Give TRACKER:ID, for example rt:17.", "it")
    assert said == "'{0.x} (.*' non è una segnalazione. Indica TRACKER:ID, per esempio rt:17."
    assert texts.sentence("Something {new} of {0}", "it") == "Something {new} of {0}"


def test_the_english_headlines_are_those_of_the_table() -> None:
    assert {name: row.headline for name, row in outcomes.table().items()} == {
        name: texts.text(f"outcome.{name}") for name in outcomes.table()
    }
