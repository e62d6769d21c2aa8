"""A way that forgets silent connections, and a real client that stays connected once its server speaks often enough."""

from __future__ import annotations

import re

import pytest
from trials.phone import stays_connected
from trials.tools import password_of, until

pytestmark = pytest.mark.hosts("edge", "phone")


def known(lab, server: str) -> list[str]:
    """The connections of clients with the server that the router on the way knows."""
    addresses = lab.run(server, "hostname", "-I").split()
    every = "for family in ipv4 ipv6; do conntrack -L -f $family -p tcp --dport 5061; done"
    entries = lab.run("edge", "sh", "-c", every)
    return [line for line in entries.splitlines() if "ESTABLISHED" in line and f"dst={addresses[-1]} " in line]


@pytest.mark.parametrize("server", ["pbx22", "pbx16"])
def test_a_silent_client_stays_connected_once_the_server_speaks_often_enough(lab, reconnect, broken, server):
    words = ("diagnose-server", server, "--account", "1002", "--idle-test", "16")
    client = (lab, f"{server}.reconnect.test", "1002", password_of(server, "1002"))
    with broken(server, "nat_idle_drop"):
        with stays_connected(*client):
            assert known(lab, server)
            until(lambda: not known(lab, server), 30)

        mended = reconnect(*words, "--apply")
        assert mended.code == 0, mended.stderr
        assert [one["cause"] for one in mended.result["verdict"]["root_causes"]] == ["nat_idle_drop"]
        assert [one["state"] for one in mended.result["remedies"]] == ["done"]

        with stays_connected(*client) as log:
            # The silence that the way forgives is shorter than the time between the first question and the third.
            until(lambda: log().count("\nOPTIONS sip:1002@") >= 3, 60)
            assert known(lab, server)
            assert len(re.findall(r"to \[LinphoneRegistrationOk\]", log())) == 1
