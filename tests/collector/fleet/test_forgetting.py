"""An agent that asks for it is forgotten: only its revoked key stays."""

from contextlib import closing
from pathlib import Path

from heliograph_collector.fleet import Fleet
from heliograph_collector.fleet.code_store import ProvenCode, VoiceCodeStore
from heliograph_collector.fleet.forgetting import forget_agent
from heliograph_collector.fleet.invites import list_invites
from heliograph_collector.fleet.session_records import Refusal, SessionEnd, record_sessions

NOW_S = 1_700_000_000


def list_places(fleet: Fleet, agent: bytes) -> set[str]:
    """List the tables that name an agent."""
    names = [name for (name,) in fleet.read_rows("SELECT name FROM sqlite_schema")]
    return {
        name
        for name in names
        if fleet.read_rows("SELECT 1 FROM pragma_table_info(?) WHERE name = 'agent'", name)
        and fleet.read_rows(f"SELECT 1 FROM {name} WHERE agent = ?", agent)
    }


def test_nothing_but_the_key_names_a_forgotten_agent(tmp_path: Path) -> None:
    with closing(Fleet(tmp_path)) as fleet:
        token = fleet.create_invite(role="volunteer", uses=2, now_s=NOW_S, expires_s=NOW_S + 60)
        agent = fleet.enrol_agent(token, b"k" * 32, "0.1", NOW_S).id
        fleet.describe_agent(agent, "Almaty, at Dana's", "calls on Sundays")
        VoiceCodeStore(fleet).add(
            ProvenCode(agent=agent, minute=1, received_us=NOW_S, body=b"body")
        )
        end = SessionEnd(agent, NOW_S, "goodbye", "erase", 1, 0)
        record_sessions(fleet, [end], [Refusal(agent, NOW_S, "results", "quota")])
        assert "codes" in list_places(fleet, agent)
        assert "admissions" in list_places(fleet, agent)
        forget_agent(fleet, agent, NOW_S + 5)
        assert list_places(fleet, agent) == set()
        (row,) = fleet.list_agents()
        assert (row.id, row.revoked_s, row.name, row.note) == (agent, NOW_S + 5, "", "")
        (invite,) = list_invites(fleet)
        assert (invite.used, invite.uses) == (0, 1), "the invite stays used up"
