"""From what a browser says of itself, and what the service saw of it, to the client report."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reconnect.incidents.client_report import MAX_PROXY, Browser, ClientReport
from reconnect.service.http import address_of
from reconnect.service.problems import Problem
from reconnect.service.selfcheck.links import ip_of
from reconnect.settings.service import ServiceSettings
from reconnect.text import one_line

_MOST_FIELDS = 8
#: What a proxy adds to a request that it passes on, beside X-Forwarded-For.
_OF_PROXIES = ("via", "forwarded")
_PORT = re.compile(r"^\[([^\]]*)\](?::\d+)?$|^([^:]*):\d+$")


class Tested(BaseModel):
    """What the script of the page found; everything is empty without it. `clock` is in milliseconds since 1970."""

    model_config = ConfigDict(extra="forbid")

    tried: Literal["", "yes"] = ""
    provisioning: Literal["", "yes", "no"] = ""
    clock: Annotated[str, Field(max_length=14, pattern=r"^[0-9]{0,14}$")] = ""


def tested(form: Mapping[str, Sequence[str]]) -> Tested:
    """What was sent with the form. Raises Problem."""
    try:
        return Tested.model_validate({name: values[0] if len(values) == 1 else values for name, values in form.items()})
    except ValidationError:
        raise Problem(422, "The form is not one of this page. Open the link again.") from None


def report(request: Request, said: Tested, addresses: Sequence[str], settings: ServiceSettings) -> ClientReport:
    """The client report: a browser that is here has internet."""
    reached = said.tried == "yes"
    browser = Browser(
        addresses=list(addresses),
        ipv4=_by(".", addresses, reached and settings.check_ipv4 is not None),
        ipv6=_by(":", addresses, reached and settings.check_ipv6 is not None),
        provisioning=said.provisioning == "yes" if said.provisioning and settings.check_provisioning else None,
        proxy=proxies(request),
        clock_offset=round(int(said.clock) / 1000 - time.time(), 1) if said.clock else None,
    )
    return ClientReport(internet=True, browser=browser)


def proxies(request: Request) -> list[str]:
    """What proxies on the path added to a request. Our own proxy, if there is one, was the last to add something."""
    address, headers = ip_of(address_of(request.scope)), request.headers
    forwarded = _parts(headers.getlist("x-forwarded-for"))
    known = [number for number, one in enumerate(forwarded) if ip_of(_PORT.sub(r"\1\2", one)) == address]
    strange = {"x-forwarded-for": forwarded[: known[-1]] if known else forwarded}
    for name in _OF_PROXIES:
        parts = _parts(headers.getlist(name))
        strange[name] = parts[:-1] if known else parts
    added = [f"{name}: {one_line(part, 100)}"[:MAX_PROXY] for name, parts in strange.items() for part in parts]
    return added[:_MOST_FIELDS]


def _parts(values: Sequence[str]) -> list[str]:
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def _by(mark: str, addresses: Sequence[str], tried: bool) -> bool | None:
    """Whether it came by the protocol whose addresses have this mark; None where it was not even asked to."""
    return any(mark in one for one in addresses) or (False if tried else None)
