"""The report of a session to another process, and the cost to check for changes."""

import asyncio
from unittest.mock import Mock

from heliograph.observation import Link
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.app.session_report import SessionReporter
from heliograph_collector.fleet.registry import EnrolledAgent
from heliograph_collector.ingest.geo.lookup import UNKNOWN_LOCATION
from heliograph_collector.ingest.presence import AgentConnection, ConnectionTable


def session(number: int) -> AgentConnection:
    name = bytes([number]) * 16
    agent = EnrolledAgent(id=name, public_key=b"", role="volunteer", version="", created_s=0)
    return AgentConnection(
        agent=agent, location=UNKNOWN_LOCATION, hello=pb.Hello(agent=name), last_heard_us=number,
        outbox=asyncio.Queue(1),
    )  # fmt: skip


def test_only_sessions_that_were_heard_are_looked_at() -> None:
    ingest = Mock(connections=ConnectionTable())
    ingest.remaining_batches = Mock(return_value=9)
    sessions = [session(number) for number in range(50)]
    for each in sessions:
        ingest.connections.add(each)
    reporter = SessionReporter(ingest)
    first = reporter.compose()
    assert first is not None
    assert len(first.added) == len(first.states) == 50
    assert reporter.compose() is None
    ingest.remaining_batches.reset_mock()

    assert reporter.compose() is None
    assert ingest.remaining_batches.call_count == 0

    sessions[3].last_heard_us += 15_000_000
    sessions[3].link = Link.ONLINE
    sessions[4].plan_version = 2  # a plan was offered
    report = reporter.compose()
    assert report is not None
    assert [(s.link, s.plan_version) for s in report.states] == [("online", 0), ("unknown", 2)]
    assert ingest.remaining_batches.call_count == 2

    reporter.report_again()
    again = reporter.compose()
    assert again is not None
    assert len(again.added) == len(again.states) == 50


def test_part_of_a_report_has_whatever_changed() -> None:
    """A partial report has all changes of its sessions, also without a heartbeat.

    A host reports a part of its sessions at a time.
    """
    ingest = Mock(connections=ConnectionTable(), directory=Mock(heartbeat_s=15))
    ingest.remaining_batches = Mock(return_value=9)
    for number in range(6):
        ingest.connections.add(session(number))
    reporter = SessionReporter(ingest)
    for _ in range(3):
        part = reporter.compose(2, now_us=1)
        assert part is not None
        assert len(part.states) == 2
    assert reporter.compose(2, now_us=1) is None
    ingest.remaining_batches.return_value = 10
    parts = [reporter.compose(2, now_us=1) for _ in range(3)]
    keys = sorted(state.key for part in parts if part is not None for state in part.states)
    assert keys == [1, 2, 3, 4, 5, 6]
