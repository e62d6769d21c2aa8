"""A network that drops idle connections, and a real client that stays connected once its server speaks often enough."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from trials.phone import stays_connected
from trials.tools import Ended, Lab, password_of, until

pytestmark = pytest.mark.hosts("edge", "phone")


def known(lab: Lab, server: str) -> list[str]:
    """The connections of clients with the server that the router on the path knows."""
    addresses = lab.run(server, "hostname", "-I").split()
    every = "for family in ipv4 ipv6; do conntrack -L -f $family -p tcp --dport 5061; done"
    entries = lab.run("edge", "sh", "-c", every)
    return [line for line in entries.splitlines() if "ESTABLISHED" in line and f"dst={addresses[-1]} " in line]


@pytest.mark.parametrize("server", ["pbx22", "pbx16"])
def test_a_silent_client_stays_connected_once_the_server_speaks_often_enough(
    lab: Lab, reconnect: Callable[..., Ended], broken: Callable[..., AbstractContextManager[None]], server: str
) -> None:
    words = ("diagnose-server", server, "--account", "1002", "--idle-test", "16")
    client = (lab, f"{server}.reconnect.test", "1002", password_of(server, "1002"))
    with broken(server, "nat_idle_drop"):
        with stays_connected(*client):
            assert known(lab, server)
            until(lambda: not known(lab, server), 30)

        fixed = reconnect(*words, "--apply")
        assert fixed.code == 0, fixed.stderr
        assert [one["cause"] for one in fixed.result["verdict"]["root_causes"]] == ["nat_idle_drop"]
        assert [one["state"] for one in fixed.result["remedies"]] == ["done"]

        with stays_connected(*client) as log:
            # The network allows less idle time than the time between the first question and the third.
            until(lambda: log().count("\nOPTIONS sip:1002@") >= 3, 60)
            assert known(lab, server)
            assert len(re.findall(r"to \[LinphoneRegistrationOk\]", log())) == 1
