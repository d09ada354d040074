"""The report of a simulation: costs, delays, false alarms."""

from dataclasses import replace

import pytest
from msgspec import structs

from heliograph_lab.simulate.counters import AgentCounters, sum_counters
from heliograph_lab.simulate.report import (
    AlarmDelay,
    Cost,
    CostMarks,
    SimulationReport,
    compute_costs,
    compute_delays,
    find_false_alarms,
)
from heliograph_lab.simulate.script import ExpectedCut
from heliograph_lab.simulate.subscriber import (
    IncidentMessage,
    IncidentSubscriber,
    ObservedGap,
    ObservedIncident,
    _is_blinding,
)
from support.hand_clock import HandClock

CUT = ExpectedCut(60.0, "KZ", "national")
REPORT = SimulationReport(
    name="s", agents=2, connected=2, processes=1, shared=False,
    tally=AgentCounters(), published=True,
    delays=[AlarmDelay("KZ", "national", 60.0, 40.0, 55.0)], false=[],
)  # fmt: skip


def observed(
    country: str, first_s: float, confirmed_s: float | None, kind: str = "network_silence"
) -> ObservedIncident:
    return ObservedIncident("i1", kind, {"country": country}, first_s, "confirmed", confirmed_s)


def test_costs_are_per_session_and_per_heartbeat() -> None:
    marks = CostMarks(
        empty=Cost(0, 1.0, 100_000),
        enrolled=Cost(10, 2.0, 101_000),
        connected=Cost(20, 4.0, 120_000),
        calm=Cost(50, 10.0, 125_600),
        beats=20_000,
        agents_cpu=0.5,
    )
    figures = compute_costs(marks, 200)
    assert figures["rss_kib_per_session"] == pytest.approx(128.0)
    assert (figures["enrol_cpu_ms"], figures["connect_cpu_ms"]) == (5.0, 10.0)
    assert figures["calm_core_share"] == pytest.approx(0.2)
    assert figures["calm_cpu_us_per_heartbeat"] == pytest.approx(300.0)
    assert compute_costs(CostMarks(), 200) == {}, "of somebody else's collector nothing is known"


def test_delays_are_from_the_onset_to_the_row_of_that_country() -> None:
    rows = [observed("DE", 1_065, 1_070), observed("KZ", 1_101, 1_118)]
    assert compute_delays([CUT], rows, 1_000.0) == [AlarmDelay("KZ", "national", 60.0, 41.0, 58.0)]
    other = [observed("KZ", 1_101, 1_118, kind="service_blocking")]
    assert compute_delays([CUT], other, 1_000.0) == [AlarmDelay("KZ", "national", 60.0, None, None)]


def test_second_step_of_a_shutdown_is_told_when_the_incident_widens() -> None:
    steps = [ExpectedCut(60.0, "KZ", "mobile-only"), ExpectedCut(240.0, "KZ", "fixed-only")]
    clock = HandClock(monotonic=1_000_000_000)
    watch = IncidentSubscriber("", clock)
    for after_s, access in ((100, "mobile"), (20, "mobile"), (150, "")):
        clock.advance_us(after_s * 1_000_000)
        scope: dict[str, str | int | None] = {"country": "KZ", "access": access}
        watch.record_incident(IncidentMessage("i1", "network_silence", "confirmed", scope))
    mobile, fixed = compute_delays(steps, list(watch.incidents.values()), 1_000.0)
    assert (mobile.first_row_s, mobile.confirmed_s) == (40.0, 40.0)
    assert (fixed.first_row_s, fixed.confirmed_s) == (30.0, 30.0)
    later = [replace(steps[1], at_s=400.0)]
    (unseen,) = compute_delays(later, list(watch.incidents.values()), 1_000.0)
    assert unseen.first_row_s is None


def test_only_confirmed_silence_elsewhere_is_a_false_alarm() -> None:
    rows = [observed("DE", 1, 2), observed("FR", 1, None), observed("KZ", 1, 2)]
    assert [row.scope["country"] for row in find_false_alarms([CUT], rows)] == ["DE"]


def test_report_is_sound_if_all_connected_and_only_true_cuts_are_confirmed() -> None:
    assert REPORT.is_sound
    assert not replace(REPORT, connected=1).is_sound
    assert not replace(REPORT, false=[observed("DE", 1, 2)]).is_sound
    unconfirmed = [AlarmDelay("KZ", "national", 60.0, 40.0, None)]
    assert not replace(REPORT, delays=unconfirmed).is_sound
    assert replace(REPORT, delays=unconfirmed, published=False).is_sound, "nobody looked"


def test_counters_of_all_processes_are_summed() -> None:
    one = AgentCounters(enrolled=2, sessions=1, receipts={"stored": 3}, done=True)
    two = AgentCounters(enrolled=1, receipts={"stored": 1, "retry": 1}, troubles={"x": 1})
    assert sum_counters([one, two]) == AgentCounters(
        enrolled=3, sessions=1, receipts={"stored": 4, "retry": 1}, troubles={"x": 1}
    )
    assert sum_counters([one]).done


def test_gap_blinds_if_global_own_fault_and_ongoing() -> None:
    gap = ObservedGap("restart", "", "2026-01-01T00:00:00Z", None)
    now = "2026-01-01T00:01:00Z"
    assert _is_blinding(gap, now)
    assert _is_blinding(structs.replace(gap, until="2026-01-01T00:03:00Z"), now)
    assert not _is_blinding(structs.replace(gap, until="2026-01-01T00:00:30Z"), now)
    assert not _is_blinding(structs.replace(gap, country="KZ"), now)
    assert not _is_blinding(structs.replace(gap, because="nobody_measured"), now)


def test_subscriber_records_when_an_incident_changes() -> None:
    clock = HandClock()
    zero_s = clock.monotonic_us() / 1e6
    watch = IncidentSubscriber("", clock)
    for state in ("suspected", "confirmed", "confirmed", "closed"):
        watch.record_incident(IncidentMessage("i1", "network_silence", state, {"country": "KZ"}))
        clock.advance_us(10_000_000)
    (figures,) = watch.incidents.values()
    times_s = (figures.first_s, figures.confirmed_s, figures.closed_s)
    assert times_s == (zero_s, zero_s + 10, zero_s + 30)


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (["network_silence suspected", "collector_blocked confirmed"], "collector_blocked"),
        (["network_silence confirmed", "collector_blocked confirmed"], "network_silence"),
    ],
)
def test_an_incident_has_the_kind_that_it_was_confirmed_as(told: list[str], kind: str) -> None:
    """An incident has the kind of its confirmation.

    So a silence that turns out to be a block of the collector is no false alarm.
    """
    watch = IncidentSubscriber("", HandClock())
    for change in told:
        named, state = change.split()
        watch.record_incident(IncidentMessage("i1", named, state, {"country": "KE"}))
    assert watch.incidents["i1"].kind == kind
