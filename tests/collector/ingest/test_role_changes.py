"""Revoked and quarantined agents are neither present nor silent for detectors."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.fleet import EnrolledAgent
from heliograph_collector.ingest.geo.lookup import UNKNOWN_LOCATION
from heliograph_collector.ingest.presence import AgentConnection
from heliograph_collector.ingest.role_changes import update_lost
from heliograph_collector.model.records import AgentRole, JournalRow, RowKind
from heliograph_collector.store.journal.journal import Journal, JournalFullError
from support.intake import enrolled, ingest_server

AGENT = EnrolledAgent(id=b"a" * 16, public_key=b"", role="volunteer", version="", created_s=0)


def refuse_goodbyes(refusals: int, journal: Journal) -> Journal:
    """Let the journal be full when the first goodbyes are written."""
    append = journal.append
    refused: list[JournalRow] = []

    async def append_later(rows: Sequence[JournalRow]) -> list[int | None]:
        goodbyes = [row for row in rows if row.kind is RowKind.GOODBYE]
        if goodbyes and len(refused) < refusals:
            refused.extend(goodbyes)
            raise JournalFullError("no room")
        return await append(rows)

    journal.append = append_later  # type: ignore[method-assign, assignment]
    return journal


@pytest.mark.parametrize("refusals", [0, 1])
async def test_each_run_records_every_revoked_volunteer(tmp_path: Path, refusals: int) -> None:
    """Each run records every revoked volunteer.

    One revoked under an earlier version, or while the journal was full, stayed present.
    """
    async with ingest_server(tmp_path) as server:
        caller = await enrolled(server)
        server.fleet.revoke_agent(caller.id, 1)
        assert not await server.rows(RowKind.GOODBYE)
    wrap = partial(refuse_goodbyes, refusals)
    async with ingest_server(tmp_path, wrap=wrap) as server:
        (goodbye,) = await server.wait_rows(RowKind.GOODBYE)
    assert (goodbye.agent, goodbye.role) == (caller.id, AgentRole.VOLUNTEER)


@pytest.mark.parametrize(
    ("newest", "roles"),
    [
        (AGENT, [AgentRole.VOLUNTEER]),
        (replace(AGENT, cloned_s=5), [AgentRole.QUARANTINE]),
        (replace(AGENT, revoked_s=5), []),
        (None, []),  # forgotten
    ],
)
async def test_a_loss_is_recorded_in_the_newest_role(
    newest: EnrolledAgent | None, roles: list[AgentRole]
) -> None:
    """A loss is recorded in the newest role.

    An agent revoked after its session had broken off became a silent volunteer.
    """
    missing = AgentConnection(
        agent=AGENT, location=UNKNOWN_LOCATION, hello=pb.Hello(), last_heard_us=0,
        outbox=asyncio.Queue(1),
    )  # fmt: skip
    found = update_lost([missing], {AGENT.id: newest} if newest else {})
    assert [one.build_lost_row(9, 9).role for one in found] == roles
