"""In a country of phones nearly all doze at night, and another tenth stays up each time."""

from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from support.presence_model import at, confirmed, country, world
from support.small_nights import DAY, HOUR, arrived, back, off

BEDTIME = 15 * HOUR  # eight in the evening in Kazakhstan


@pytest.mark.parametrize("seed", [1, 2])
def test_a_second_night_that_takes_the_last_phones_too_is_no_cut(seed: int) -> None:
    """Nine of ten doze in the first night, and all of them in the second.

    Those that were up in the first had stayed for a day and a night, so that version 172 said that
    no habit takes them, and told a cut of the country for six hours.
    """
    rng = Random(seed)
    phones = [v for v in country(each=7) if v.place.access == "mobile"]
    first = rng.sample(phones, round(0.88 * len(phones)))
    signals = arrived(phones + world())
    for night, dozing in enumerate((first, phones)):
        begin_s = night * DAY + BEDTIME
        signals += off(dozing, begin_s, 4 * HOUR, rng) + back(dozing, begin_s + 9 * HOUR, HOUR, rng)
    for hours in (4.5, 8.0):
        assert not confirmed(detect_silence(signals, at(DAY + BEDTIME + hours * HOUR)).incidents)
