"""Holds of the service, with the words of `reconnect.runs.guards.Guards`."""

from __future__ import annotations

from collections.abc import Sequence

from reconnect.cli.remote.connection import Connection
from reconnect.runs.record import Hold
from reconnect.service.contract.documents import HoldShown
from reconnect.settings import Settings


class Holds:
    """The holds of one service; it knows by the token who asks."""

    def __init__(self, settings: Settings) -> None:
        self._connection = Connection(settings)

    def hold(self, servers: Sequence[str], reason: str) -> None:
        """Holds hosts or groups; none: everything."""
        self._connection.ask(type(None), "POST", "/holds", json={"servers": list(servers), "reason": reason})

    def release(self, servers: Sequence[str]) -> list[str]:
        """Releases hosts or groups; which of them were on hold."""
        before = {one.server for one in self.holds()}
        self._connection.ask(type(None), "DELETE", "/holds", params={"server": list(servers)})
        return sorted(before - {one.server for one in self.holds()})

    def holds(self) -> list[Hold]:
        """What is on hold."""
        shown = self._connection.ask(list[HoldShown], "GET", "/holds", again=True)
        return [Hold(one.server or "", one.reason, one.held_by, one.since) for one in shown]
