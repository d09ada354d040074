"""CPU of the silence detector when some of 100,000 vantages fall silent."""

from random import Random
from time import process_time

import pytest

from heliograph_collector.detect.silence.detector import SilenceDetector
from heliograph_collector.model.signals import (
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
)
from heliograph_lab.evaluate.population import BEAT_S, LOST_S
from support.presence_model import at, people

COUNTRIES = 40
VANTAGES = 2_500  # of each country; in ten regions, of six operators
ONSET_S, SPREAD_S = 7_200, 60  # all that are lost go within a minute
NETWORKS = [
    (region, asn, "mobile" if asn < 4 else "fixed") for region in range(10) for asn in range(1, 7)
]


def draw_world(countries: int, each: int) -> list[VantageRef]:
    vantages = []
    for number in range(countries):
        code = f"{chr(65 + number // 26)}{chr(65 + number % 26)}"
        for region, asn, access in NETWORKS:
            place = VantageLocation(code, f"R{region}", asn, access)
            vantages += people(place, -(-each // len(NETWORKS)))
    return vantages


def measure_losses(vantages: list[VantageRef], lost: list[VantageRef]) -> tuple[float, int]:
    """Return the CPU seconds for losses and 15 minutes after, and confirmed cuts."""
    rng = Random(1)
    detector = SilenceDetector()
    for vantage in vantages:
        detector.on_signal(VantageArrival(at(0), vantage))
    losses = []
    for vantage in lost:
        heard_s = ONSET_S + rng.uniform(0, SPREAD_S) - rng.uniform(0, BEAT_S)
        losses.append(VantageLoss(at(heard_s + LOST_S), vantage.nym, at(heard_s)))
    losses.sort(key=lambda loss: loss.at_us)
    detector.advance_to(at(ONSET_S - 60))  # the levels of all countries are sampled once
    since_s = process_time()
    for loss in losses:
        detector.on_signal(loss)
    detector.advance_to(at(ONSET_S + 900))
    cost_s = process_time() - since_s
    print(f"\n{len(lost)} of {len(vantages)} vantages lost: {cost_s:.2f} s CPU")
    return cost_s, sum(i.confirmed_us is not None for i in detector.findings().incidents)


@pytest.mark.slow
def test_cpu_of_a_cut_among_a_hundred_thousand() -> None:
    vantages = draw_world(COUNTRIES, VANTAGES)
    cost_s, confirmed = measure_losses(vantages, vantages[: len(vantages) // COUNTRIES])
    assert confirmed == 1
    assert cost_s <= 1.5  # the aim is 1 s


@pytest.mark.slow
@pytest.mark.parametrize(("countries", "most_s"), [(COUNTRIES, 10.0), (1, 12.0)])
def test_cpu_of_a_fifth_of_a_hundred_thousand_lost_at_random(countries: int, most_s: float) -> None:
    """The aim is 10 s; 6.4 s measured in 40 countries, 8.1 s in a single one."""
    vantages = draw_world(countries, COUNTRIES * VANTAGES // countries)
    cost_s, confirmed = measure_losses(vantages, Random(2).sample(vantages, len(vantages) // 5))
    assert confirmed == 0
    assert cost_s <= most_s
