"""What virtual agents measure is what the judge takes for reached, and for blocked."""

from dataclasses import replace

from heliograph.clock import SystemClock
from heliograph.codec import measurement_from_pb
from heliograph.services import shipped
from heliograph_collector.control import Assessor
from heliograph_collector.judge import judge
from heliograph_collector.model.records import Role, State, Taken
from heliograph_lab.simulate import Actor, measuring
from support.scenario import taken

CLOCK = SystemClock()


def seen(number: int, failing: bool, role: Role = Role.VOLUNTEER) -> Taken:
    visit = measuring.visit("telegram", number, failing, CLOCK)
    return replace(taken(visit, role=role, nym=f"n{number}"), id=f"{number:032x}")


def test_with_a_control_a_failing_visit_is_a_blocked_service() -> None:
    block = [seen(1, False, Role.CONTROL), seen(2, False), seen(3, True)]
    verdicts = {one.nym: found for one, found in Assessor(judge, shipped().services)(block)}
    states = {nym: [v.state for v in found if not v.endpoint] for nym, found in verdicts.items()}
    assert states["n2"] == [State.REACHABLE]
    assert states["n3"] == [State.BLOCKED]
    assert verdicts["n3"][0].layer == "tls"


def test_an_envelope_holds_what_the_contract_takes() -> None:
    actor = Actor(1, "KZ", "ALA", 9198, "mobile")
    visits = [
        measuring.visit("telegram", 1, False, CLOCK),
        measuring.visit("signal", 2, True, CLOCK),
    ]
    batch = measuring.batch(b"a" * 16, "simulate", 7, visits, CLOCK, actor)
    assert [measurement_from_pb(m) for m in batch.measurements] == visits
    assert (batch.epochs[0].country, batch.epochs[0].access) == ("KZ", "mobile")
