"""Every process has a slot of its own, and takes over what a slot was left with."""

from __future__ import annotations

from pathlib import Path

import pytest
from reconnect.engine.slots import Slots
from reconnect.result import now
from reconnect.runs.record import Delivery
from reconnect.runs.request import Request
from reconnect.runs.store import Run, Runs
from reconnect.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path / "state")


def run_of(settings: Settings, worker: str) -> Run:
    """A run that is not done."""
    request = Request(
        playbook="p.yml", mode="diagnose", named=["a"], servers=["a"], inventory="i", timeout=9, command=["x"]
    )
    return Runs(settings).create(request, worker=worker)


def test_a_slot_has_its_own_work_alone(settings: Settings) -> None:
    slots = Slots(settings)
    first = slots.empty()
    second = slots.empty()
    run = run_of(settings, first.name)
    assert (first.number, first.work()) == (1, [run.run_id])
    assert (second.number, second.work()) == (2, [])
    # The next one is free as well, however much there is to do elsewhere.
    third = slots.empty()
    assert (third.number, third.work()) == (3, [])
    assert slots.abandoned() == []
    for slot in (first, second, third):
        slot.release()
    assert slots.abandoned() == [run.run_id]


@pytest.mark.parametrize("delivery", ["none", "delivered", "pending"])
def test_a_slot_is_free_again_when_all_is_done(settings: Settings, delivery: Delivery) -> None:
    slots = Slots(settings)
    slot = slots.empty()
    run = run_of(settings, slot.name)
    slot.release()
    assert slots.abandoned() == [run.run_id]
    run.record.finished_at, run.record.delivery = now(), delivery
    run.save()
    assert slots.abandoned() == ([run.run_id] if delivery == "pending" else [])
    empty = slots.empty()
    assert empty.number == (2 if delivery == "pending" else 1)
    empty.release()


def test_the_work_of_another_machine_is_not_ours(settings: Settings) -> None:
    run_of(settings, "elsewhere-12345678.1")
    assert Slots(settings).abandoned() == []
    slot = Slots(settings).empty()
    assert (slot.number, slot.work()) == (1, [])
    slot.release()
