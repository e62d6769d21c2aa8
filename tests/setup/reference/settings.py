# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of the command's settings, from their declarations."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from reconnect.settings import Settings
from reconnect.settings.checks import CheckSettings
from reconnect.settings.notifications import ChatSettings, MailSettings, NotificationSettings
from reconnect.settings.service import HookSettings, OidcSettings, PollSettings, ServiceSettings
from reconnect.settings.trackers import TrackerSettings

from reference.text import code, item, items, notes, page, prose

INTRODUCTION = """
A setting is an environment variable, or a line of the settings file.
The file is the one that `RECONNECT_SETTINGS` names, else `$XDG_CONFIG_HOME/reconnect/settings.yml`,
else `/etc/reconnect/settings.yml`.
A variable goes before the file.
Times are seconds.
""".strip()


def pages() -> dict[str, str]:
    """``settings.md``."""
    plain = [name for name, field in Settings.model_fields.items() if not _trackers(field.annotation)]
    own = [name for name in Settings.model_fields if name not in plain]
    sections = [f"## {code(name)}\n\n{_tracker(name)}" for name in own]
    parts: list[tuple[str, type[BaseModel]]] = [
        ("oidc", OidcSettings),
        ("hooks", HookSettings),
        ("polls", PollSettings),
        ("checks", CheckSettings),
        ("notifications", NotificationSettings),
        ("notifications.mail", MailSettings),
        ("notifications.chat", ChatSettings),
    ]
    for part, kind in parts:
        entries = items(_entry(kind, name, name) for name in kind.model_fields)
        sections.append(f"## {code(f'service.{part}')}\n\n{prose(kind.__doc__ or '')}\n\n{entries}")
    settings = items(_entry(Settings, name, f"RECONNECT_{name.upper()}") for name in plain)
    return {"settings.md": page("Settings", INTRODUCTION, settings, *sections)}


def _trackers(annotation: Any) -> type[BaseModel] | None:
    """The settings of a tracker, by itself or by name, or of the service that a field holds."""
    for one in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(one, type) and issubclass(one, (TrackerSettings, ServiceSettings)):
            return one
    return None


def _tracker(name: str) -> str:
    kind = _trackers(Settings.model_fields[name].annotation)
    assert kind is not None
    begins = f"RECONNECT_{name.upper()}_"
    named = kind is not Settings.model_fields[name].annotation
    entries = [_entry(kind, field, field if named else begins + field.upper()) for field in kind.model_fields]
    return f"{prose(kind.__doc__ or '')}\n\n{items(entries)}"


def _entry(kind: type[BaseModel], name: str, shown: str) -> str:
    """One setting: its name, what it is, its default and its limits."""
    field = kind.model_fields[name]
    said = next((notes(one)[name] for one in kind.__mro__ if name in _fields(one) and name in notes(one)), "")
    return item(code(shown), said.replace("`", "`"), _default(field), _limits(field))


def _fields(kind: type) -> tuple[str, ...]:
    return tuple(vars(kind).get("__annotations__", ()))


def _default(field: Any) -> str:
    wanted = field.default
    if wanted is PydanticUndefined or wanted in (None, {}, []) or isinstance(wanted, BaseModel):
        return ""
    return f"Default: {code(str(wanted).lower() if isinstance(wanted, bool) else wanted)}."


def _limits(field: Any) -> str:
    signs = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
    said = [
        f"{words} {getattr(one, sign):g}"
        for one in field.metadata
        for sign, words in signs.items()
        if hasattr(one, sign)
    ]
    return f"{', '.join(said).capitalize()}." if said else ""
