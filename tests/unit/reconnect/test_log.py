"""The log: what it holds, how much, and that it stops nothing."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from reconnect import log
from reconnect.errors import InputError
from reconnect.settings import Settings


class Asked:
    """Counts how often the store is asked."""

    asked = 0

    def traced(self) -> dict[str, object]:
        self.asked += 1
        return {"run": "r", "trace_id": "t"}


@pytest.fixture
def logger(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    root, own = logging.getLogger(), logging.getLogger("reconnect")
    for one in (root, own):
        monkeypatch.setattr(one, "level", one.level)
    monkeypatch.setattr(root, "handlers", [])
    yield logging.getLogger("reconnect.made.up")
    for handler in root.handlers:
        with contextlib.suppress(OSError):  # of a disk that is full
            handler.close()


@pytest.mark.parametrize(
    ("level", "kept"), [("debug", ["d", "i", "w"]), ("info", ["i", "w"]), ("warning", ["w"]), ("error", [])]
)
def test_the_level_is_the_least_that_is_logged(
    logger: Any, tmp_path: Path, level: Literal["debug", "info", "warning", "error"], kept: list[str]
) -> None:
    log.set_up(Settings(log_file=tmp_path / "log", log_level=level))
    run = Asked()
    for number, sentence in ((logging.DEBUG, "d"), (logging.INFO, "i"), (logging.WARNING, "w")):
        log.about(run, logger, number, sentence, server="alpha")
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["message"] for line in lines] == kept
    assert {(line["run"], line["trace_id"], line["server"]) for line in lines} <= {("r", "t", "alpha")}
    assert run.asked == len(kept)


@pytest.mark.attack("a server that forges a line of the log", harm="wrong")
def test_a_line_is_one_line(logger: Any, tmp_path: Path) -> None:
    log.to_file(Settings(log_file=tmp_path / "log"))
    log.about(Asked(), logger, logging.WARNING, 'a\n{"level": "info"}', server="b\nc", password="hidden %s")
    [line] = (tmp_path / "log").read_text().splitlines()
    assert (json.loads(line)["server"], "hidden" in line) == ("b c", False)


def test_a_rotated_file_is_opened_again_and_a_missing_folder_stops_nothing(
    logger: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log.to_file(Settings(log_file=folder / "log"))
    logger.warning("one")
    (folder / "log").rename(folder / "log.1")
    logger.warning("two")
    assert (folder / "log").read_text().count("two") == 1
    folder.rename(tmp_path / "gone")
    logger.warning("three")
    assert capsys.readouterr() == ("", "")


def test_a_disk_that_is_full_stops_nothing(logger: Any, capsys: pytest.CaptureFixture[str]) -> None:
    log.to_file(Settings(log_file=Path("/dev/full")))
    handler = logging.getLogger().handlers[0]
    logger.warning("one")
    assert (type(handler).__name__, capsys.readouterr()) == ("_File", ("", ""))


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Cannot write the log file '.*': Is a directory\."):
        log.to_file(Settings(log_file=tmp_path))
