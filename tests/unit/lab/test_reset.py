"""What boots hosts of the lab again, also where podman keeps the address of one that is gone."""

from __future__ import annotations

import argparse
import contextlib

import pytest
from labkit import command, containers, faults, health, network, podman
from labkit.errors import LabError
from labkit.hosts import HOSTS, Host

THERE = ("edge", "pbx22", "phone")


class Lab:
    """Podman, as far as a reset asks it: with `keeps` it refuses the address of a host until its networks are gone."""

    def __init__(self, keeps: str) -> None:
        self.keeps = keeps
        self.done: list[str] = []
        self.settled: list[str] = []

    def start(self, host: Host) -> None:
        if host.name == self.keeps:
            raise LabError("requested ip address is already allocated")
        self.done.append(host.name)

    def remove(self) -> None:
        self.done = ["removed"]
        self.keeps = ""

    def settle(self, hosts: list[Host], seconds: float) -> None:
        self.settled = [host.name for host in hosts]


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Lab:
    made = Lab(request.param)
    monkeypatch.setattr(podman, "check", lambda: None)
    monkeypatch.setattr(containers, "states", lambda: dict.fromkeys(THERE, ("running", "")))
    monkeypatch.setattr(containers, "start", made.start)
    monkeypatch.setattr(network, "create", lambda: made.done.append("networks"))
    monkeypatch.setattr(faults, "forget_of", lambda names: None)
    monkeypatch.setattr(health, "wait", lambda hosts, seconds: {"pbx22": ["it is sick"]})
    for name, function in {"alone": contextlib.nullcontext, "remove": made.remove, "settle": made.settle}.items():
        monkeypatch.setattr(command, name, function)
    return made


@pytest.mark.parametrize("lab", ["", "pbx22"], indirect=True)
@pytest.mark.parametrize("healed", [False, True])
def test_one_host_is_booted_again_and_all_where_podman_refuses_it(lab: Lab, healed: bool) -> None:
    refused = lab.keeps
    if healed:
        command.recover([HOSTS["pbx22"]])
    else:
        assert command.reset(argparse.Namespace(hosts=["pbx22"])) == 0
    if refused:
        assert lab.done[:2] == ["removed", "networks"]
        # The others were there, and are again.
        assert sorted(lab.done[2:]) == sorted(lab.settled) == sorted(THERE)
    else:
        assert lab.done == lab.settled == ["pbx22"]
