from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from reconnect.errors import InputError, TrackerError
from reconnect.settings import Settings
from reconnect.trackers import open_incident
from reconnect.trackers.incident import Attachment, Comment

RESULT = Attachment("reconnect-r-pbx22.json", "application/json", b'{"a": 1}')


def comment(number: int, text: str) -> Comment:
    return Comment(f"reconnect-{number}-report", text, attachments=[RESULT])


def test_comments_follow_each_other_in_a_file(tmp_path):
    tracker = open_incident(f"file:{tmp_path}/incident.md", Settings())
    for number, text in enumerate(("first", "second")):
        assert not tracker.told(f"reconnect-{number}-report")
        tracker.comment(comment(number, text))
        assert tracker.told(f"reconnect-{number}-report")
    written = (tmp_path / "incident.md").read_text()
    assert written.index("first") < written.index("second")
    assert written.count('{"a": 1}') == 2


def test_a_folder_gets_a_file_each(tmp_path):
    tracker = open_incident(f"file:{tmp_path}", Settings())
    tracker.comment(comment(1, "first"))
    assert (tmp_path / RESULT.name).read_bytes() == RESULT.content
    assert (tmp_path / "comment-reconnect-1-report.md").read_text() == "first\n"
    assert tracker.told("reconnect-1-report")
    assert not tracker.told("reconnect-2-report")


@pytest.mark.parametrize("name", ["incident.md", "."])
def test_the_latest_change_counts_and_is_written_once(tmp_path, name):
    tracker = open_incident(f"file:{tmp_path}/{name}", Settings())
    assert tracker.read().status is None
    for queue in ("Second level", "Third level", "Third level"):
        tracker.move(queue, "m")
    tracker.assign("third-level", "m")
    tracker.close("Not an issue", "m")
    incident = tracker.read()
    assert (incident.queue, incident.owner) == ("Third level", "third-level")
    assert incident.status == "closed (Not an issue)"
    written = "".join(path.read_text() for path in tmp_path.glob("*.md"))
    assert written.count("Third level") == 1


def test_what_it_is_about_stands_at_its_beginning(tmp_path):
    (tmp_path / "incident.md").write_text("Server: pbx22\nError message: 408: gone\n\nAccount: 1001\n")
    (tmp_path / "client.log").write_text("line\n")
    incident = open_incident(f"file:{tmp_path}", Settings()).read()
    assert incident.fields == {"Server": "pbx22", "Error message": "408: gone"}
    assert incident.files == {"client.log": "client.log"}
    assert open_incident(f"file:{tmp_path}", Settings()).file("client.log") == b"line\n"
    assert open_incident(f"file:{tmp_path}/incident.md", Settings()).read().fields == incident.fields


def test_a_file_outside_the_folder_is_not_read(tmp_path):
    (tmp_path / "secret").write_text("x")
    (tmp_path / "incident").mkdir()
    with pytest.raises(TrackerError, match="can't be read"):
        open_incident(f"file:{tmp_path}/incident", Settings()).file("../secret")


def test_comments_of_two_runs_do_not_mix(tmp_path):
    tracker = open_incident(f"file:{tmp_path}/incident.md", Settings())
    texts = [letter * 100_000 for letter in "abcdefgh"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: tracker.comment(Comment("m", text)), texts))
    assert sorted((tmp_path / "incident.md").read_text().split("\n\n")[:-1:2]) == texts


def test_a_pipe_is_no_incident(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="neither file nor folder"):
        open_incident(f"file:{tmp_path}/pipe", Settings())


def test_a_file_that_cannot_be_written(tmp_path):
    (tmp_path / "incident.md").symlink_to(tmp_path / "missing" / "file")
    with pytest.raises(TrackerError, match=r"can't be written: No such file or directory\."):
        open_incident(f"file:{tmp_path}/incident.md", Settings()).comment(Comment("m", "x"))
