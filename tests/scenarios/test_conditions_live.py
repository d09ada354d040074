"""The catalogue of conditions on real traffic: set up, measured, judged, compared.

All rows are played at once in one world (support/field): every row has a separate name, addresses
and interference. The control runs the same experiment from abroad.
"""

import shutil
from collections.abc import Mapping
from dataclasses import replace

import pytest

from heliograph.observation import Link
from heliograph_collector.judge import judge
from heliograph_collector.model.records import ControlView
from lab.country.world import require_for_test
from support.condition import Condition, check_verdicts, conditions
from support.field.field import Played, play
from support.requirements import require
from support.scenario import taken

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.xdist_group("conditions")]
ROWS = tuple(row for row in conditions() if row.live is not None)
PROGRAMS = ("unbound", "nginx", "turnserver", "openvpn")
TOLD = ("rule", "state", "layer", "method", "reachable_endpoints", "endpoints")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Played]:
    require_for_test()
    require(all(map(shutil.which, PROGRAMS)), f"needs {', '.join(PROGRAMS)}")
    return play(ROWS, tmp_path_factory.mktemp("field"))


def test_the_home_is_online(played: Mapping[str, Played]) -> None:
    """The home is online, so that no row is unknown for want of a link."""
    home = [played[row.name].here for row in ROWS if "place" not in (row.live or {})]
    assert {seen.link for seen in home} == {Link.ONLINE}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_condition_live(row: Condition, played: Mapping[str, Played]) -> None:
    """A live verdict has all that the row names, except numbers that vary by hour."""
    seen = played[row.name]
    here = seen.here.measurement
    assert not here.not_measured, here.not_measured
    verdicts = judge(taken(here, role=row.scenario.taken.role), control_view(row, seen))
    check_verdicts(verdicts, row.scenario.verdicts, TOLD, f"\n{_story(seen)}")


def control_view(row: Condition, seen: Played) -> ControlView:
    """Return the row's control view, with the real measurement if it has a control."""
    view = row.scenario.control
    if view.measurement is None:
        return view
    endpoints = (row.live or {}).get("endpoints", ())
    groups = {e["id"]: e["group"] for e in endpoints if "group" in e}
    return replace(
        view, measurement=seen.control.measurement, link=seen.control.link, groups=groups
    )


def _story(seen: Played) -> str:
    """Return the steps of both measurements, one a line."""
    lines = []
    for place, one in (("here", seen.here), ("control", seen.control)):
        lines.append(f"{place}: {one.link} {one.measurement.not_measured}")
        for index, x in enumerate(one.measurement.observations):
            said = x.dns or x.tcp or x.udp or x.http or x.exchange or x.hop or ""
            text = f"{index} {x.endpoint} {x.operation} {x.failure or 'ok'} <{x.parent}> {said}"
            lines.append(text[:300])
    return "\n".join(lines)
