"""The judge's cache of control results changes no verdict."""

from collections.abc import Iterator, Sequence

import pytest

from heliograph.services import load_shipped_services
from heliograph_collector.control import Assessor, met_endpoints
from heliograph_collector.control import cache as control_cache
from heliograph_collector.judge import judge, measurement_steps
from heliograph_collector.model.records import (
    ControlView,
    JudgedMeasurement,
    ReceivedMeasurement,
    Verdict,
)
from heliograph_collector.store.journal.decode import read_rows
from support.examples import IS_SOAK
from support.rows import NAMES
from support.unit_load import build_fleet, build_row, build_workload, list_batches

BEGUN_S = 1_641_351_600.0
BLOCK = 16


def judge_anew(record: ReceivedMeasurement, control: ControlView) -> tuple[Verdict, ...]:
    """Judge as if nothing had been judged before."""
    measurement_steps._kept_steps.clear()
    met_endpoints.list_met_endpoints._entries.clear()
    control_cache._sum_depths._entries.clear()
    return judge(record, control)


def assess(
    assessor: Assessor, records: Sequence[ReceivedMeasurement]
) -> Iterator[JudgedMeasurement]:
    for first in range(0, len(records), BLOCK):
        yield from assessor.assess(records[first : first + BLOCK])


@pytest.mark.long
def test_steps_of_controls_that_stay_grouped_change_no_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Minutes of the default plan by some agents and a control, with a block."""
    services = load_shipped_services().services
    measured = list_batches(build_workload(), build_fleet(9), BEGUN_S, 160 if IS_SOAK else 96)
    records = read_rows([build_row(batch, actor) for actor, batch in measured], NAMES).records
    anew = list(assess(Assessor(judge_anew, services), records))
    assert {verdict.state for _, verdicts in anew for verdict in verdicts} >= {"blocked"}
    for kept in (measurement_steps.CONTROLS_KEPT, 3):
        monkeypatch.setattr(measurement_steps, "CONTROLS_KEPT", kept)
        measurement_steps._kept_steps.clear()
        assert list(assess(Assessor(judge, services), records)) == anew
        assert len(measurement_steps._kept_steps) <= kept
