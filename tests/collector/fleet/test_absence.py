"""The reason why an agent is silent, from recorded facts alone."""

from dataclasses import replace

import pytest

from heliograph.units import HOUR_S
from heliograph_collector.fleet.absence import AgentRecord, list_reasons
from heliograph_collector.fleet.registry import EnrolledAgent
from heliograph_collector.fleet.session_records import PlanIssue, Refusal, SessionEnd

NOW_S = 1_000_000
SEEN_S = NOW_S - HOUR_S
AGENT = EnrolledAgent(
    id=b"a", public_key=b"k", role="volunteer", version="1", created_s=5, last_seen_s=SEEN_S
)
CLOSED = SessionEnd(b"a", SEEN_S + 5, "closed", "", 3, 0)
UNDETERMINED = "undetermined: no end of its last session is on record"
REFUSED = Refusal(b"a", SEEN_S + 60, "session", "key_expired")


@pytest.mark.parametrize(
    ("record", "reasons"),
    [
        (AgentRecord(), [UNDETERMINED]),
        (AgentRecord(end=replace(CLOSED, at_s=SEEN_S - 1)), [UNDETERMINED]),  # it came back
        (AgentRecord(end=CLOSED, incident="5e1f"), ["broke off", "lost in incident 5e1f"]),
        (
            AgentRecord(
                end=replace(CLOSED, reason="goodbye", goodbye_reason="pause"), incident="x"
            ),
            ["it said goodbye: its volunteer paused it"],  # so no network took it
        ),
        (AgentRecord(end=replace(CLOSED, reason="goodbye", goodbye_reason="<b>")), ["goodbye"]),
        (AgentRecord(end=CLOSED, refusal=REFUSED), ["broke off", "its key is too old"]),
        (
            AgentRecord(end=CLOSED, refusal=replace(REFUSED, at_s=SEEN_S - 2 * HOUR_S)),
            ["broke off"],  # it was let in after that
        ),
        (
            AgentRecord(
                end=replace(CLOSED, clock_ahead_s=-3 * HOUR_S), plan=PlanIssue(4, SEEN_S - HOUR_S)
            ),
            ["broke off", "clock was 3.0 h behind", "began with plan 3; 4 is the present one"],
        ),
        (AgentRecord(end=replace(CLOSED, clock_ahead_s=60), plan=PlanIssue(3, 0)), ["broke off"]),
        (AgentRecord(end=CLOSED, plan=PlanIssue(4, SEEN_S)), ["broke off"]),  # issued since
    ],
)
def test_reasons_of_an_absent_agent(record: AgentRecord, reasons: list[str]) -> None:
    found = list_reasons(AGENT, record, NOW_S)
    assert len(found) == len(reasons)
    assert all(words in reason for words, reason in zip(reasons, found, strict=True))
    assert "<b>" not in "".join(found)


def test_an_agent_that_is_here_has_reasons_only_for_refused_results() -> None:
    here = replace(AGENT, last_seen_s=NOW_S - 60)
    refusal = Refusal(b"a", NOW_S - 90, "results", "unknown_version")
    assert list_reasons(here, AgentRecord(end=CLOSED, plan=PlanIssue(9, 0)), NOW_S) == []
    (reason,) = list_reasons(here, AgentRecord(refusal=refusal), NOW_S)
    assert "results of its name refused 1970-01-12 13:45 UTC" in reason
    ended = replace(CLOSED, at_s=NOW_S - 30, reason="goodbye", goodbye_reason="shutdown")
    (reason,) = list_reasons(here, AgentRecord(end=ended), NOW_S)
    assert "its program or its machine was stopped" in reason


def test_an_agent_that_never_came_and_a_revoked_one() -> None:
    never = replace(AGENT, last_seen_s=None)
    refusal = Refusal(b"a", NOW_S - 90, "session", "bad_signature")
    came, refused = list_reasons(never, AgentRecord(refusal=refusal), NOW_S)
    assert "it joined and has never connected" in came
    assert "not by its key" in refused
    revoked = replace(AGENT, revoked_s=SEEN_S)
    assert list_reasons(revoked, AgentRecord(end=CLOSED), NOW_S) == ["revoked 1970-01-12 12:46 UTC"]
