"""Recognize an edition of the agent that fails in several countries.

An edition may fail at one moment everywhere: at a date, or by an answer that all agents get. In a
country in which nearly everybody runs it this is as dark as a cut, and at first nobody comes back
to report. Other countries show it: there, too, those of this edition fell silent within minutes,
and those of other editions with the same kind of access and the same carrier did not. A cable takes
both, and so does a carrier that fails; phones may have an edition of their own.

Where the edition is back elsewhere for half an hour, and here it is not, the country was cut off.

An agent says by itself which edition it is. Only established ones count, as everywhere; who plants
five of a rare edition in two other countries, and stops them in the minute of a cut, has it
suspected, and not confirmed, while they stay away.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import chain

from heliograph_collector.detect.silence.cohorts import MOST_SHARE, Comparison, falls_alone
from heliograph_collector.detect.silence.dead_networks import APART_US
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.shared_networks import fell_then
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.stats.tails import quantile
from heliograph_collector.detect.stats.voting import is_established

# Assumed, all of them:
_COUNTRIES = 2  # in which the edition fails too
_LEAST_FALLEN = 2  # of its agents in each of them …
_LEAST_SHARE = 0.05  # … and of all agents there: in ten minutes chance takes 1 to 3 %


def has_edition_failed(
    silent: Sequence[VantagePresence], presence: PresenceTracker, now_us: int
) -> bool:
    """Return whether the silent of one country are of an edition that failed in others too.

    Args:
        silent: The silent vantages, one at least.
        presence: The vantages of all countries.
        now_us: The time of the evaluation.
    """
    ((edition, count),) = Counter(v.edition for v in silent).most_common(1)
    if not edition or count < MOST_SHARE * len(silent):
        return False
    fell_us = quantile([v.lost_us for v in silent if v.edition == edition], 0.5)
    home = silent[0].place.country
    countries = _list_countries(edition, fell_us, home, presence, now_us)
    if len(countries) < _COUNTRIES:
        return False
    places: defaultdict[tuple[str, str, str], list[Comparison]] = defaultdict(list)
    for v in chain.from_iterable(map(presence.list_country, countries)):
        has_fallen = fell_then(v, fell_us, now_us)
        is_counted = is_established(v.witness, now_us, presence.limits)
        if is_counted and (v.is_live or has_fallen):
            place = v.place.country, v.place.access, v.witness.carrier
            places[place].append((v.edition == edition, has_fallen))
    own = [fell for inside in places.values() for is_own, fell in inside if is_own]
    return sum(own) >= MOST_SHARE * len(own) and falls_alone(places.values())


def _list_countries(
    edition: str, fell_us: int, home: str, presence: PresenceTracker, now_us: int
) -> list[str]:
    """List the other countries in which more of an edition fell silent than do by chance.

    Only there each vantage is looked at: the world may have 100,000.
    """
    found: list[str] = []
    for country in sorted(set(presence.countries) - {home}):
        recent = presence.list_fallen(country, fell_us - APART_US)
        fallen = sum(v.edition == edition and fell_then(v, fell_us, now_us) for v in recent)
        if fallen >= max(_LEAST_FALLEN, _LEAST_SHARE * len(presence.list_country(country))):
            found.append(country)
    return found
