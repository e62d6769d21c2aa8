"""The server's half of a forced reconnection, and the log that is followed meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._account.watch import Follower
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import reconnect
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.documents import Reconnection
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.probes import Asterisk
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import config
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import filled

ALIVE = {"uri": "sip:1001@192.0.2.1:4000", "status": "Reachable"}
DEAD = {"uri": "sip:1001@192.0.2.2:4000", "status": "Unreachable"}


class Client:
    """A channel driver that keeps what it is told."""

    def __init__(self, contacts: list[dict[str, str]], drops: bool = True) -> None:
        self.did: list[str] = []
        self._contacts, self._drops = contacts, drops

    def contacts(self) -> list[dict[str, str]]:
        return self._contacts

    def qualify(self) -> None:
        self.did.append("qualify")

    def notify(self) -> None:
        self.did.append("notify")

    def drop(self, uri: str) -> None:
        if not self._drops:
            raise ProbeError("denied", "read-only")
        self.did.append("drop " + uri)


@pytest.fixture
def act(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Reconnection]:
    def run(client: Client, change: bool = True) -> Reconnection:
        monkeypatch.setattr(reconnect, "_Pjsip", lambda settings, account: client)
        return reconnect.reconnect(filled({}), "1001", change)

    return run


def test_dead_contacts_go_and_the_living_are_told(act: Callable[..., Reconnection]) -> None:
    client = Client([ALIVE, DEAD])
    done = act(client)
    assert client.did == ["qualify", "drop " + DEAD["uri"], "notify"]
    assert (done["dropped"], done["notified"], done["why"]) == ([DEAD["uri"]], True, [])


def test_without_a_change_it_only_tells(act: Callable[..., Reconnection]) -> None:
    client = Client([ALIVE, DEAD])
    done = act(client, change=False)
    assert client.did == []
    assert (done["dropped"], done["notified"]) == ([DEAD["uri"]], False)


def test_what_could_not_be_dropped_is_said(act: Callable[..., Reconnection]) -> None:
    done = act(Client([DEAD], drops=False))
    assert done["dropped"] == []
    assert "read-only" in done["why"][0]


def test_a_name_that_is_no_account_reaches_nothing(act: Callable[..., Reconnection]) -> None:
    with pytest.raises(ProbeError):
        reconnect.reconnect(filled({}), "1001; core stop now", True)


def test_the_keys_of_asterisks_own_database() -> None:
    text = '/registrar/contact/1001;@ab12: {"uri":"sip:1001@192.0.2.1"}\n/registrar/contact/10011;@ab12: {}\n1 results'
    assert list(reconnect.parse_astdb(text, "1001")) == ["1001;@ab12"]


def test_a_section_that_tells_a_client_to_look_again() -> None:
    sections = {"clear-mwi": {"event": "message-summary"}, "check": {"event": "check-sync;reboot=false"}}
    assert reconnect.section_of(sections, "check-sync") == "check"
    assert reconnect.section_of({}, "check-sync") is None


def test_a_section_that_restarts_the_phone_is_left_alone() -> None:
    reboot, look = {"event": "check-sync; reboot=true"}, {"event": "check-sync"}
    assert reconnect.section_of({"snom-reboot": reboot, "look": look}, "check-sync") == "look"
    assert reconnect.section_of({"snom-reboot": reboot}, "check-sync") is None


class Silent(Asterisk):
    """An Asterisk whose AMI nobody may use; its command line says what it is told to."""

    def __init__(self, says: str) -> None:
        self.commands: list[str] = []
        self._says = says

    def manage(self, action: str, **fields: str) -> None:
        raise ProbeError("missing", "AMI is off or has no user that may ask")

    def command(self, line: str) -> str:
        self.commands.append(line)
        return self._says


Peer = Callable[[str, dict[str, dict[str, str]]], tuple[reconnect._Sip, Silent]]


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Peer:
    def make(says: str, sections: dict[str, dict[str, str]]) -> tuple[reconnect._Sip, Silent]:
        monkeypatch.setattr(config, "read", lambda name: sections)
        client = object.__new__(reconnect._Sip)
        asterisk = Silent(says)
        client._account, client._asterisk = "1001", asterisk
        return client, asterisk

    return make


def test_without_ami_notify_goes_by_the_section_there_is(peer: Peer) -> None:
    client, asterisk = peer("Sending NOTIFY of type 'look' to '1001'", {"look": {"event": "check-sync"}})
    client.notify()
    assert asterisk.commands == ["sip notify look 1001"]


def test_a_notify_that_asterisk_did_not_send_is_told_with_its_words(peer: Peer) -> None:
    client, _asterisk = peer("Unable to find notify type 'look'\n", {"look": {"event": "check-sync"}})
    with pytest.raises(ProbeError, match="Unable to find notify type"):
        client.notify()


def test_without_ami_and_without_a_section_it_says_what_is_missing(peer: Peer) -> None:
    client, _asterisk = peer("", {})
    with pytest.raises(ProbeError, match=r"sip_notify\.conf has no section with Event => check-sync"):
        client.notify()


def test_a_log_is_followed_from_its_end_and_beyond_its_rotation(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("old\n")
    follower = Follower(str(path))
    with path.open("a") as file:
        file.write("one\nhal")
    assert follower.lines() == ["one"]
    with path.open("a") as file:
        file.write("f\n")
    path.rename(tmp_path / "log.1")
    path.write_text("two\n")
    assert follower.lines() == ["half", "two"]
    follower.close()
