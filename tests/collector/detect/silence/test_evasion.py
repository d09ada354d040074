"""Agents that find another entrance tell of a block before many are silent at one time."""

from dataclasses import replace
from random import Random

from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import IncidentKind, IncidentState
from heliograph_collector.model.signals import OfflineReport, VantageArrival, VantageLoss
from support.examples import draw_seeds
from support.presence_model import at, country, live, world

ONSET = 7_200.0


def test_a_block_of_the_entrance_that_half_use_is_told_though_few_are_silent_at_once() -> None:
    """Agents are spread over two; who loses the first finds the second within a minute."""
    for seed in draw_seeds(4):
        rng = Random(seed)
        people = [
            replace(each, carrier=f"session/{n % 2}") for n, each in enumerate(country(each=2))
        ]
        signals = live(people + world(), rng, 4, churn=1.0)
        for vantage in people[::2]:
            heard_s = ONSET + rng.uniform(0, 240)
            signals.append(VantageLoss(at(heard_s + 15), vantage.nym, at(heard_s)))
            back_s = heard_s + rng.uniform(20, 60)
            signals.append(VantageArrival(at(back_s), replace(vantage, carrier="session/1")))
            signals.append(
                OfflineReport(
                    at(back_s + 2), vantage.nym, at(heard_s), at(back_s), alive=True, online=True,
                    carrier="session/1", measured_us=at(heard_s + 18),
                )
            )  # fmt: skip
        (told,) = detect_silence(signals, at(ONSET + 600)).incidents
        assert told.kind is IncidentKind.COLLECTOR_BLOCKED, seed
        assert told.state is IncidentState.CONFIRMED, "it goes on, though all have another way"
