"""What the service sees of a request that came over proxies."""

from __future__ import annotations

import pytest
from fastapi import Request
from reconnect.service.selfcheck import browser

AT = "203.0.113.5"


def request(client: str = AT, **headers: str) -> Request:
    named = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request({"type": "http", "headers": named, "client": (client, 0)})


@pytest.mark.parametrize(
    ("headers", "added"),
    [
        ({}, []),
        # Our own proxy says where the request comes from.
        ({"x_forwarded_for": AT}, []),
        ({"x_forwarded_for": f"{AT}:4711", "via": "1.1 ours", "forwarded": f"for={AT}"}, []),
        (
            {"x_forwarded_for": f"10.0.0.7, {AT}", "via": "1.1 hotel, 1.1 ours"},
            ["x-forwarded-for: 10.0.0.7", "via: 1.1 hotel"],
        ),
        # Nobody of ours is between.
        ({"via": "1.1 hotel"}, ["via: 1.1 hotel"]),
        ({"x_forwarded_for": "10.0.0.7"}, ["x-forwarded-for: 10.0.0.7"]),
    ],
)
def test_what_a_proxy_added_is_told_apart_from_what_ours_did(headers: dict[str, str], added: list[str]) -> None:
    assert browser.proxies(request(**headers)) == added


def test_an_address_of_ipv4_in_the_form_of_ipv6_is_the_same() -> None:
    assert browser.proxies(request(f"::ffff:{AT}", x_forwarded_for=AT)) == []


@pytest.mark.attack("headers of any length and number", harm="outage")
def test_what_is_kept_is_bounded() -> None:
    found = browser.proxies(request(via=",".join(["x" * 10_000, "\x1b[31m{{ 7*7 }}", *map(str, range(10_000))])))
    assert len(found) == 8
    assert max(map(len, found)) <= 200
    assert "\x1b" not in "".join(found)
