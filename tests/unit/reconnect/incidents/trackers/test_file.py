from __future__ import annotations

import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from reconnect.errors import InputError, TrackerError
from reconnect.incidents.trackers import open_incident
from reconnect.incidents.trackers.file import changes
from reconnect.incidents.trackers.tracker import Attachment, Comment
from reconnect.names import Incident
from reconnect.settings import Settings
from reconnect.settings.trackers import FileSettings

RESULT = Attachment("reconnect-r-pbx22.json", "application/json", b'{"a": 1}')


def comment(number: int, text: str) -> Comment:
    return Comment(f"reconnect-{number}-report", text, attachments=[RESULT])


def test_comments_follow_each_other_in_a_file(tmp_path: Path) -> None:
    tracker = open_incident(Incident.parse(f"file:{tmp_path}/incident.md"), Settings())
    for number, text in enumerate(("first", "second")):
        assert not tracker.told(f"reconnect-{number}-report")
        tracker.comment(comment(number, text))
        assert tracker.told(f"reconnect-{number}-report")
    written = (tmp_path / "incident.md").read_text()
    assert written.index("first") < written.index("second")
    assert written.count('{"a": 1}') == 2


def test_a_folder_gets_a_file_each(tmp_path: Path) -> None:
    tracker = open_incident(Incident.parse(f"file:{tmp_path}"), Settings())
    tracker.comment(comment(1, "first"))
    assert (tmp_path / RESULT.name).read_bytes() == RESULT.content
    assert (tmp_path / "comment-reconnect-1-report.md").read_text() == "first\n"
    assert tracker.told("reconnect-1-report")
    assert not tracker.told("reconnect-2-report")


@pytest.mark.parametrize("name", ["incident.md", "."])
def test_the_latest_change_counts_and_is_written_once(tmp_path: Path, name: str) -> None:
    tracker = open_incident(Incident.parse(f"file:{tmp_path}/{name}"), Settings())
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


def test_an_incident_of_windows_is_read_or_says_what_to_do(tmp_path: Path) -> None:
    file, text = tmp_path / "incident.md", "Server: pbx22\r\n\r\nAccount: 1001\r\n"
    tracker = open_incident(Incident.parse(f"file:{file}"), Settings())
    file.write_text(text, encoding="utf-8-sig", newline="")
    assert tracker.read().fields["Server"] == "pbx22"
    file.write_text(text, encoding="utf-16", newline="")
    with pytest.raises(TrackerError, match=r"it is UTF-16\. Save it as UTF-8\."):
        tracker.read()


def test_what_it_is_about_stands_at_its_beginning(tmp_path: Path) -> None:
    (tmp_path / "incident.md").write_text("Server: pbx22\nError message: 408: gone\n\nAccount: 1001\n")
    (tmp_path / "client.log").write_text("line\n")
    incident = open_incident(Incident.parse(f"file:{tmp_path}"), Settings()).read()
    assert incident.fields == {"Server": "pbx22", "Error message": "408: gone"}
    assert incident.files == {"client.log": "client.log"}
    assert open_incident(Incident.parse(f"file:{tmp_path}"), Settings()).file("client.log") == b"line\n"
    assert open_incident(Incident.parse(f"file:{tmp_path}/incident.md"), Settings()).read().fields == incident.fields


def test_a_file_outside_the_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "incident").mkdir()
    with pytest.raises(TrackerError, match="Cannot read"):
        open_incident(Incident.parse(f"file:{tmp_path}/incident"), Settings()).file("../secret")


def test_comments_of_two_runs_do_not_mix(tmp_path: Path) -> None:
    tracker = open_incident(Incident.parse(f"file:{tmp_path}/incident.md"), Settings())
    texts = [letter * 100_000 for letter in "abcdefgh"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: tracker.comment(Comment("m", text)), texts))
    assert sorted((tmp_path / "incident.md").read_text().split("\n\n")[:-1:2]) == texts


def test_a_pipe_is_no_incident(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="neither file nor folder"):
        open_incident(Incident.parse(f"file:{tmp_path}/pipe"), Settings())


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    tracker = open_incident(Incident.parse(f"file:{tmp_path}/folder/incident.md"), Settings())
    (tmp_path / "folder").rmdir()
    with pytest.raises(TrackerError, match=r"Cannot write .*: No such file or directory\."):
        tracker.comment(Comment("m", "x"))


@pytest.mark.attack("a link in place of an incident's file", harm="leak")
def test_a_link_is_followed_nowhere(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("Account: canary\n")
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("client.log", "incident.md", "status.md"):
        (folder / name).symlink_to(tmp_path / "secret")
    tracker = open_incident(Incident.parse(f"file:{folder}"), Settings())
    with pytest.raises(TrackerError, match=r"client.log: it is a symbolic link\."):
        tracker.file("client.log")
    with pytest.raises(TrackerError, match=r"status.md: it is a symbolic link\."):
        tracker.read()
    with pytest.raises(TrackerError, match=r"status.md: it is a symbolic link\."):
        tracker.close("x", "m")
    single = open_incident(Incident.parse(f"file:{folder}/incident.md"), Settings())
    with pytest.raises(TrackerError, match="it is a symbolic link"):
        single.comment(Comment("m", "x"))
    assert (tmp_path / "secret").read_text() == "Account: canary\n"


@pytest.mark.attack("a pipe in place of an incident's file", harm="hang")
def test_a_pipe_in_the_folder_is_not_waited_for(tmp_path: Path) -> None:
    for name in ("client.log", "incident.md"):
        os.mkfifo(tmp_path / name)
    tracker = open_incident(Incident.parse(f"file:{tmp_path}"), Settings())
    for ask in (tracker.read, lambda: tracker.file("client.log")):
        with pytest.raises(TrackerError, match=r"it is not a regular file\."):
            ask()


@pytest.mark.attack("a sparse file of 2 GiB in an incident", harm="hang")
def test_a_sparse_file_is_not_read(tmp_path: Path) -> None:
    for name in ("client.log", "incident.md"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(2 * 1024**3)
    tracker = open_incident(Incident.parse(f"file:{tmp_path}"), Settings())
    with pytest.raises(TrackerError, match=r"incident.md: it is larger than 16 MiB\."):
        tracker.read()
    with pytest.raises(TrackerError, match=r"client.log: it is larger than 4 MiB\."):
        tracker.file("client.log")


def test_two_may_write_a_file_at_the_same_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker, replace = open_incident(Incident.parse(f"file:{tmp_path}"), Settings()), Path.replace

    def meanwhile(temporary: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "replace", replace)
        tracker.comment(Comment("m", "x"))
        return temporary.replace(target)

    monkeypatch.setattr(Path, "replace", meanwhile)
    tracker.comment(Comment("m", "x"))
    assert [file.name for file in tmp_path.iterdir()] == ["comment-m.md"]


def test_who_holds_the_file_for_too_long_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconnect.incidents.trackers.file.LOCK_SECONDS", 0.1)
    file = tmp_path / "incident.md"
    with file.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(TrackerError, match="another process has locked it"):
            open_incident(Incident.parse(f"file:{file}"), Settings()).comment(Comment("m", "x"))


def test_new_incidents_of_a_folder_are_listed(tmp_path: Path) -> None:
    settings = FileSettings(incoming=tmp_path)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "incident.md").write_text("Server: pbx22\n\nno calls\n")
    (tmp_path / "two.md").write_text("Server: pbx16\n")
    (tmp_path / "old.md").write_text("Server: pgsql\n")
    os.utime(tmp_path / "old.md", (1, 1))
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.txt").write_text("Server: pbx22\n")
    (tmp_path / "link.md").symlink_to(tmp_path / "two.md")
    before = changes(settings, 5)
    assert [one.incident.id for one in before] == [str(tmp_path / "one"), str(tmp_path / "two.md")]
    # What Reconnect adds is no change; what the incident is about is one.
    for one in before:
        open_incident(one.incident, Settings()).comment(comment(1, "first"))
    assert changes(settings, 5) == before
    (tmp_path / "two.md").write_text("Server: pbx22\n")
    assert [after == one for after, one in zip(changes(settings, 5), before, strict=True)] == [True, False]


def test_a_folder_of_incidents_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="RECONNECT_FILE_INCOMING"):
        changes(FileSettings(), 5)
    with pytest.raises(TrackerError, match=r"Cannot read .*: No such file or directory\."):
        changes(FileSettings(incoming=tmp_path / "gone"), 5)
