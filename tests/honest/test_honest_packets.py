"""The honest set on real packets: real agents, servers and filters in namespaces."""

import os
import shutil

import pytest

from lab.country.world import require_for_test
from support.honest.case import HONEST, KNOWN_PACKET_FAILURES, read_packet_cases
from support.honest.packets import play_cases
from support.honest.score import format_table, read_known_failures
from support.requirements import require

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.xdist_group("conditions")]
MIN_CASES = 30
STEP = 1 if os.environ.get("HELIOGRAPH_PACKETS") == "all" else 3  # CI plays every third


def test_nobody_is_blocked_on_real_packets(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    require_for_test()
    require(all(map(shutil.which, ("unbound", "nginx"))), "needs unbound, nginx")
    played = read_packet_cases()[::STEP]
    outcomes = play_cases(played, tmp_path_factory.mktemp("packets"))
    failing = {outcome.case.case for outcome in outcomes if outcome.grade != "right"}
    listed = read_known_failures(HONEST / KNOWN_PACKET_FAILURES)
    known = listed & {case.case for case in played}
    table = format_table(outcomes)
    assert failing - known == set(), f"new failures:\n{table}"
    assert known - failing == set(), f"right now, take them out of {KNOWN_PACKET_FAILURES}"


def test_there_are_enough_cases_of_unique_names() -> None:
    cases = read_packet_cases()
    assert len({case.case for case in cases}) == len(cases) >= MIN_CASES
    assert [case.case for case in cases if case.live is None] == []
