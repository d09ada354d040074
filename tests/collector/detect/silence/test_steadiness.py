"""Whether sessions flap, where many stand behind one address."""

from heliograph.units import MINUTE_US
from heliograph_collector.detect.silence.steadiness import has_flapped
from heliograph_collector.detect.silence.vantage_presence import PresenceStatus, VantagePresence
from heliograph_collector.model.signals import VantageLocation, VantageRef
from heliograph_collector.model.thresholds import THRESHOLDS

KZ = VantageLocation("KZ", "A", 10, "fixed")


def build_silent(name: str, prefix: str, rejoined_min: float, lost_min: float) -> VantagePresence:
    return VantagePresence(
        VantageRef(name, prefix, KZ),
        PresenceStatus.SILENT,
        lost_us=int(lost_min * MINUTE_US),
        rejoined_us=int(rejoined_min * MINUTE_US),
    )


def build_lines(again: int) -> list[VantagePresence]:
    """Four lines of their own, of which some were back in between."""
    return [
        build_silent(f"line{n}", f"p{n}", 3 * n + 1.0 if n < again else 0, 3 * n + 2.5)
        for n in range(4)
    ]


def build_city(again: int) -> list[VantagePresence]:
    """Forty people behind one address, of whom some were back in between."""
    return [
        build_silent(f"city{n}", "nat", n / 4 + 0.5 if n < again else 0, n / 4 + 2.0)
        for n in range(40)
    ]


def test_two_of_a_city_who_were_lost_again_are_not_its_vote() -> None:
    assert not has_flapped([*build_lines(again=2), *build_city(again=2)], 1, THRESHOLDS)


def test_city_most_of_which_was_lost_again_flaps() -> None:
    assert has_flapped([*build_lines(again=2), *build_city(again=30)], 1, THRESHOLDS)
