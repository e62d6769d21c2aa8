"""What API and pages work with: the runs, plans, people and guards of this site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from fastapi import Request

from reconnect import names
from reconnect.ansible import inventory, judging
from reconnect.ansible.project import Project
from reconnect.engine import resuming
from reconnect.errors import InputError
from reconnect.incidents import spelling
from reconnect.incidents.client_report import ClientReport
from reconnect.incidents.intake import Intake
from reconnect.incidents.trackers import open_incident
from reconnect.reports import case
from reconnect.result import rfc3339
from reconnect.runs import tables
from reconnect.runs.database import engine_of, reading, writing
from reconnect.runs.guards import EVERYTHING, Guards
from reconnect.runs.record import Hold, Record, Wanted
from reconnect.runs.request import FIX, Asked
from reconnect.runs.store import Run, Runs
from reconnect.service import audit, work
from reconnect.service.answers import Answers
from reconnect.service.http import Door
from reconnect.service.people import People, Person
from reconnect.service.plans import Plans, State
from reconnect.service.problems import Problem
from reconnect.service.selfcheck.links import About, Link, Links, followed
from reconnect.service.starting import Starter, asker_of, checked_incident
from reconnect.settings import Settings

if TYPE_CHECKING:
    from reconnect.runs.rows import Within

#: How long the user's attempts are watched after a self-check, in seconds: the application has to be opened first.
CHECK_WATCH = 60


class Desk:
    """Everything that a request may need."""

    def __init__(self, project: Project, settings: Settings) -> None:
        self.project = project
        self.settings = settings
        self.engine = engine_of(settings)
        self.runs = Runs(settings)
        self.guards = Guards(settings)
        self.people = People(settings)
        self.plans = Plans(settings)
        self.answers = Answers(self.engine)
        self.links = Links(self.engine)
        self.starter = Starter(project, settings)
        self.door = Door(self.people, settings.service.requests, settings.service.origin)
        #: How many follow a run at the moment.
        self.streams = 0

    def inventory(self) -> inventory.Inventory:
        """Hosts and groups. Raises InputError."""
        source = inventory.source_of(None, self.settings, self.project)
        return inventory.load(source, self.project, self.settings.inventories)

    def names(self, person: Person) -> list[str]:
        """The servers that are this person's, by name. Raises InputError."""
        found = self.inventory()
        return [one for one in sorted(found.allowed) if person.sees([one])]

    def servers(self, person: Person) -> list[dict[str, Any]]:
        """The servers that are this person's, each with its newest run and the hold on it. Raises InputError."""
        return [self._server(name, person) for name in self.names(person)]

    def run(self, run_id: str, person: Person) -> Run:
        """A run that is this person's to see. Raises Problem."""
        found = self.runs.get(run_id)
        if found is None or not person.sees(found.record.request.servers):
            raise Problem(404, "There is no such run.")
        return found

    def ended_run(self, run_id: str, person: Person) -> Run:
        """A run that has ended. Raises Problem."""
        found = self.run(run_id, person)
        if found.record.finished_at is None:
            raise Problem(409, "The run has not ended.", Retry_After="2")
        return found

    def newest(self, wanted: Wanted, limit: int, person: Person) -> tuple[list[Run], str | None]:
        """The runs that are as wanted and this person's to see, the newest first, and where the next page begins.
        Raises Problem."""
        if "\0" in f"{wanted.server}{wanted.account}":
            # PostgreSQL refuses it.
            raise Problem(422, "A filter contains an invalid character. Remove it.")
        found = self.runs.newest(replace(wanted, within=person.servers), limit)
        return found, found[-1].run_id if len(found) == limit else None

    def begin(
        self,
        asked: Asked,
        reported: ClientReport,
        person: Person,
        trigger: str,
        address: str,
        within: Within | None = None,
        trace_id: str | None = None,
    ) -> Run:
        """The run that answers what a person asked for over this way in; `within` writes into the transaction that
        makes a new one. Raises Problem, InputError."""
        if denied := [flag for flag, right in asked.rights.items() if not person.may(right)]:
            raise Problem(403, f"Only second level may use {', '.join(denied)}.")

        def allowed(taken: Intake) -> None:
            if not person.sees(taken.request.servers):
                raise Problem(403, "Your token does not cover this server.")

        def deed(record: Record) -> audit.Deed:
            return audit.Deed(person.name, person.role, address, "run asked for", record.run_id)

        def noted(connection: sa.Connection, record: Record) -> None:
            audit.append(connection, deed(record))
            if within is not None:
                within(connection, record)

        started = self.starter.start(asked, reported, asker_of(person.name, trigger, trace_id), allowed, noted)
        if not started.new:
            self.note(deed(started.run.record))
        return started.run

    def link(self, about: About, person: Person, address: str) -> tuple[str, datetime]:
        """The secret of a new link for a self-check, and when it expires. Raises Problem, InputError."""
        meant = self._meant([about.server], person)
        if len(meant) != 1:
            raise InputError(f"'{about.server}' is a group. Give one server.")
        account = names.checked("account", spelling.account(about.account))
        about = replace(about, server=meant[0], account=account)
        if (incident := _checking(about).incident) is not None:
            open_incident(incident, self.settings)
        return self.links.make(about, person, address)

    def url_of(self, request: Request, secret: str) -> str:
        """Where the user opens a link."""
        return f"{self.settings.service.origin or str(request.base_url).rstrip('/')}/check/{secret}"

    def checked_itself(self, secret: str, link: Link, reported: ClientReport, address: str) -> bool:
        """Begins the run that follows the self-check of this link, once; False while another run of its incident is
        under way, which knows nothing of this browser: the link stays valid. Raises Problem, InputError."""
        deed = audit.Deed(link.created_by, link.role, address, "self-check done")

        def within(connection: sa.Connection, record: Record) -> None:
            if not followed(connection, secret, record.run_id):
                raise Problem(409, "This self-check is done.")
            audit.append(connection, replace(deed, subject=record.run_id))

        with self.links.alone(secret) as alone:
            if not alone:
                raise Problem(429, "This self-check is being stored. Wait a moment.", Retry_After="5")
            started = self.starter.start(
                _checking(link.about), reported, asker_of(link.created_by, "selfcheck"), within=within
            )
            if not started.new:
                if not started.problems:
                    return False
                # Its incident was asked the same before.
                with writing(self.engine) as connection:
                    within(connection, started.run.record)
        return True

    def approvals(
        self, person: Person, state: State | None = None, limit: int = 100, run_id: str | None = None
    ) -> list[dict[str, Any]]:
        """The approvals of this person's servers, or of one run, the newest first."""
        return self.plans.approvals(state, limit, run_id, person.servers)

    def holds(self, person: Person) -> list[Hold]:
        """The holds on this person's servers, and that on everything."""
        return [one for one in self.guards.holds() if one.server == EVERYTHING or person.sees([one.server])]

    def outbox(self, person: Person) -> list[Run]:
        """The runs whose report or question has not reached its incident."""
        return [run for run in resuming.waiting(self.settings) if person.sees(run.record.request.servers)]

    def note(self, deed: audit.Deed) -> None:
        """Writes down what somebody did."""
        with writing(self.engine) as connection:
            audit.append(connection, deed)

    def hold(self, servers: Sequence[str], reason: str, person: Person, address: str) -> None:
        """Holds servers; without any, everything. Raises Problem, InputError."""
        meant = self._meant(servers, person)
        self.guards.hold(meant, reason, person.name)
        self.note(audit.Deed(person.name, person.role, address, "held", ", ".join(meant) or "everything"))

    def release(self, servers: Sequence[str], person: Person, address: str) -> None:
        """Releases servers; without any, ends the hold on everything. Raises Problem, InputError."""
        meant = self._meant(servers, person)
        self.guards.release(meant)
        self.note(audit.Deed(person.name, person.role, address, "released", ", ".join(meant) or "everything"))

    def cancel(self, run: Run, person: Person, address: str) -> bool:
        """Has a run end; whether it had not ended."""
        if not work.cancel(run, self.project, self.settings):
            return False
        self.note(audit.Deed(person.name, person.role, address, "run cancelled", run.run_id))
        return True

    def wrong(self, run: Run, server: str | None, cause: str, person: Person, address: str) -> dict[str, bytes]:
        """Keeps that a verdict is wrong; the files of the case by their names. Raises InputError."""
        causes = judging.causes(self.project)
        found, files = case.mark_wrong(run, run.results(), server, cause, causes, self.settings)
        data = {"server": found, "cause": cause}
        self.note(audit.Deed(person.name, person.role, address, "verdict called wrong", run.run_id, data=data))
        return files

    def ready(self) -> None:
        """Raises ReconnectError where the store does not answer."""
        with reading(self.engine) as connection:
            connection.execute(sa.select(tables.users.c.name).limit(1))

    def _meant(self, servers: Sequence[str], person: Person) -> list[str]:
        """The hosts that are meant, if they are this person's."""
        meant = self.inventory().servers(list(servers)) if servers else [EVERYTHING]
        if not person.sees(meant):
            raise Problem(403, "Your token does not cover this server.")
        return meant

    def _server(self, name: str, person: Person) -> dict[str, Any]:
        newest = next(iter(self.runs.newest(Wanted(server=name, within=person.servers), 1)), None)
        hold = self.guards.held(name)
        return {
            "server": name,
            "run": newest.run_id if newest else None,
            "ending": newest.record.endings.get(name) if newest else None,
            "at": rfc3339(newest.record.started_at) if newest else None,
            "hold": hold.sentence() if hold else None,
        }


def _checking(about: About) -> Asked:
    """The run that follows a self-check. Raises InputError."""
    incident = checked_incident(about.incident) if about.incident else None
    return Asked.checked(FIX, servers=[about.server], account=about.account, incident=incident, watch=CHECK_WATCH)
