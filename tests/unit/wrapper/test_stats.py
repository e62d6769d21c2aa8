from __future__ import annotations

from datetime import timedelta

from reconnect.result import Result
from reconnect.runs import Request, Runs
from reconnect.stats import Line, stats


def test_shares_and_medians(tmp_path):
    for seconds, outcome, causes in [(1, "healthy", []), (2, "fault_found", ["dns_no_record"]), (9, "healthy", [])]:
        request = Request(
            playbook="p.yml",
            mode="diagnose",
            named=["alpha"],
            servers=["alpha"],
            inventory="i",
            timeout=9,
            command=["x"],
        )
        run = Runs(tmp_path).create(request)
        roots = [{"cause": c, "subject": "network", "title": "t", "summary": "s", "policy": "human"} for c in causes]
        run.save_result(
            Result(
                run_id=run.run_id,
                state="succeeded",
                playbook="p.yml",
                mode="diagnose",
                server="alpha",
                started_at=run.record.started_at,
                finished_at=run.record.started_at + timedelta(seconds=seconds),
                verdict={"outcome": outcome, "root_causes": roots},
            )
        )
    assert stats(Runs(tmp_path)) == [
        Line("outcome", "healthy", 2, 2 / 3, 5),
        Line("outcome", "fault_found", 1, 1 / 3, 2),
        Line("server", "alpha", 3, 1, 2),
        Line("cause", "dns_no_record", 1, 1 / 3, 2),
    ]


def test_without_runs_there_is_nothing_to_count(tmp_path):
    assert stats(Runs(tmp_path)) == []


def test_the_command_counts(workplace):
    workplace.diagnose("servers")
    ended = workplace.reconnect("stats", "--json")
    assert ended.code == 0, ended.stderr
    assert {"by": "outcome", "name": "healthy", "number": 2, "share": 1.0}.items() <= ended.json()[0].items()
    assert "█" in workplace.reconnect("stats").stdout
