"""The guard of a run's playbook: it asks before each remedy, says how each ended, and what it sees of the client.

The playbook asks over a socket in a folder that only this user can enter (the action `remedy_permission`). The store
says whether a hold, a partner of the server or the blast radius stands against it, the policy whether the server is
under maintenance. What may begin later is `deferred`: the play cannot wait for a server of its own, so the run starts
another play for it.

A result that the disk does not take comes over the same socket.
"""

from __future__ import annotations

import contextlib
import json
import re
import socketserver
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from reconnect.ansible.playbook import short_private_folder
from reconnect.engine.locks import Locks
from reconnect.engine.policy import Policy
from reconnect.errors import InputError, ReconnectError
from reconnect.names import checked
from reconnect.result import UNTOUCHED, Result, now
from reconnect.runs import store
from reconnect.runs.guards import Guards, Permission, Reach, Wish
from reconnect.runs.store import Run
from reconnect.settings import Settings
from reconnect.text import one_line

#: The environment variable by which the playbook finds the socket.
VARIABLE = "RECONNECT_GUARD"
#: A question of the playbook, or a result that it hands over, is no longer than this, in bytes.
QUESTION_BYTES = 8 * 1024**2
#: A run keeps no more attempts of clients than this; its results have them, too.
MOST_SEEN = 500
_OUTCOME = re.compile(r"[a-z_]{1,30}")


class Guard:
    """Answers the playbook of one run; its calls come from several threads."""

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        run: Run,
        locks: Locks,
        happened: Callable[[dict[str, Any]], None] = lambda event: None,
        groups: Mapping[str, Collection[str]] = MappingProxyType({}),
        refusal: str = "",
    ) -> None:
        self._guards = Guards(settings, run.worker)
        self._policy = policy
        self._run = run
        self._locks = locks
        radius = policy.blast_radius
        self._reach = Reach(radius.servers, radius.percent, radius.window)
        self._happened = happened
        self._groups = groups
        self._refusal = refusal
        self._seen = 0
        self._deferred: dict[str, Wish] = {}
        self._allowed: set[tuple[str, str, str]] = set()
        self._results: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def listening(self) -> Iterator[Mapping[str, str]]:
        """Answers meanwhile; the environment by which the playbook finds it."""
        with short_private_folder(self._run.run_id) as folder, _Server(folder / "guard", self) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
            thread.start()
            try:
                yield {VARIABLE: str(folder / "guard")}
            finally:
                server.shutdown()
                thread.join()

    def answer(self, question: Mapping[str, Any]) -> Permission:
        """What the playbook is told. Raises ReconnectError."""
        server, remedy, cause = (str(question.get(name) or "") for name in ("server", "remedy", "cause"))
        if server not in self._run.record.request.servers:
            raise InputError(f"{server} is no server of this run.")
        if isinstance(result := question.get("result"), dict):
            with self._lock:
                self._results[server] = result
            return Permission(True)
        if "seen" in question:
            self._tell(server, question["seen"])
            return Permission(True)
        server_id = question.get("server_id") or None
        outcome = question.get("outcome")
        names = {server} if outcome else self._guards.names(server, server_id)
        if not outcome:
            self._run.check()
            if not self._locks.are_held():
                return Permission(
                    False, "This run has lost its lock on the server: another run may work there. Diagnose again."
                )
            if self._refusal:
                return Permission(False, self._refusal)
            groups = [group for group, members in self._groups.items() if names.intersection(members)]
            asked = question.get("groups")
            if maintained := self._policy.under_maintenance(now(), groups + (asked if isinstance(asked, list) else [])):
                return Permission(False, maintained)
        if remedy and not outcome and not self._planned(server, remedy, cause):
            return Permission(
                False, f"The plan has changed: {remedy} for {cause} was not in it. Diagnose again, then confirm."
            )
        # What reaches one account has no blast radius.
        if not remedy or question.get("of_account"):
            hold = None if remedy and outcome else self._guards.held(server, server_id)
            return Permission(hold is None, hold.sentence() if hold else "")
        partners = set(map(str, question.get("partners") or ()))
        for pair in self._policy.pairs:
            nodes = set(self._groups.get(pair, ()))
            partners |= nodes if nodes & names else set()
        wish = Wish(
            self._run.run_id,
            server,
            server_id,
            checked("remedy", remedy),
            checked("cause", cause),
            int(question.get("servers") or 1),
            tuple(sorted(partners - names)),
            bool(question.get("undoes")),
        )
        if outcome:
            self._end(server, remedy, cause, str(outcome))
            return Permission(True)
        with self._lock:
            if server in self._deferred:
                # What comes after a remedy in the plan does not go before it.
                return Permission(False, "Another remedy of this server comes first.", wait=True)
            found = self._guards.begin(wish, self._reach)
            if found.wait:
                self._deferred[server] = wish
            if found.allowed:
                self._allowed.add((server, remedy, cause))
        return found

    def _end(self, server: str, remedy: str, cause: str, state: str) -> None:
        # What is refused here may have been begun before, by a process of the run that was killed.
        if state not in UNTOUCHED or (server, remedy, cause) in self._allowed:
            self._guards.end(self._run.run_id, server, remedy, cause, state)

    def _tell(self, server: str, seen: Any) -> None:
        """Keeps attempts of the client that were seen while the play goes on. A server says them: they are bounded."""
        for one in seen:
            outcome = str(one.get("outcome"))
            if _OUTCOME.fullmatch(outcome) and self._seen < MOST_SEEN:
                self._seen += 1
                said = {name: one_line(one.get(name) or "", 80) for name in ("account", "address", "transport")}
                self._happened(store.event("seen", server, outcome=outcome, **said))

    def _planned(self, server: str, remedy: str, cause: str) -> bool:
        """Whether the plan that a person agreed to has this step; every step where nobody was asked."""
        plan = self._run.record.request.plan
        return plan is None or any((one.server, one.remedy, one.cause) == (server, remedy, cause) for one in plan)

    def handed_over(self, server: str) -> dict[str, Any] | None:
        """The latest result document of a server that the disk did not take, once."""
        with self._lock:
            return self._results.pop(server, None)

    def next_batch(self) -> list[str] | None:
        """The deferred servers whose next play may begin now; None when none is deferred.

        A server whose remedy will not be allowed any more is one of them: its play ends with the reason.
        """
        with self._lock:
            if not self._deferred:
                return None
            taken: Counter[tuple[str, str]] = Counter()
            batch: list[str] = []
            for server, wish in self._deferred.items():
                found, what = self._guards.may_begin(wish, self._reach), (wish.remedy, wish.cause)
                if found.allowed and taken[what] < found.room and not set(wish.partners).intersection(batch):
                    taken[what] += 1
                    batch.append(server)
                elif not found.allowed and not found.wait:
                    batch.append(server)
            for server in batch:
                del self._deferred[server]
            return batch

    def end(self, results: list[Result]) -> None:
        """A play of the run ended: what its results do not call fixed counts as failed."""
        for result in results:
            for remedy in result.remedies:
                self._end(result.server, remedy.remedy, remedy.cause or "", remedy.state)
        self._guards.end_all(self._run.run_id)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def __init__(self, path: Path, guard: Guard) -> None:
        self.guard = guard
        super().__init__(str(path), _Handler)


class _Handler(socketserver.StreamRequestHandler):
    """One question, one answer, a line of JSON each."""

    timeout = 30
    server: _Server

    def handle(self) -> None:
        try:
            question = json.loads(self.rfile.readline(QUESTION_BYTES))
            found = self.server.guard.answer(question)
        except ReconnectError as error:
            found = Permission(False, str(error))
        except (ValueError, TypeError, AttributeError, OSError, RecursionError) as error:
            found = Permission(False, f"The guard cannot read the question: {type(error).__name__}.")
        answer = {"allowed": found.allowed, "reason": found.reason, "escalate": found.escalate}
        with contextlib.suppress(OSError):
            self.wfile.write(json.dumps(answer).encode() + b"\n")
