"""Ask whether a carrier that one country lost fails in other countries too.

Theory. Our entrances are shared: one that is down, or that fails on its way, fails for everybody
who uses it, in the same seconds or in one country after another. So a block of an entrance waits
until its users elsewhere had time to show that they keep it.
"""

from collections.abc import Collection

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence import country_comparison
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker


def find_only_carrier(presence: PresenceTracker, country: str, since_us: int) -> str:
    """Return the one carrier of all silences since a time; "" if none or several."""
    silent = presence.list_silent(country, since_us)
    carriers = {vantage.lost_by for vantage in silent if not vantage.deferred}
    return carriers.pop() if len(carriers) == 1 else ""


def is_carrier_down(
    presence: PresenceTracker,
    country: str,
    since_us: int,
    carrier: str,
    world: country_comparison.CountryComparison,
) -> bool:
    """Return whether a carrier falls in nearly all other countries that use it.

    Then those that live on by others, which there must be, say nothing about its entrance.
    """
    users = country_comparison.compare_countries(presence, country, since_us, carrier)
    living = users.countries - users.fallen
    are_few = country_comparison.LIVING_ONE_IN * living <= users.countries
    is_falling = users.are_several and are_few
    return is_falling and users.countries < world.countries


def are_failing_elsewhere(
    presence: PresenceTracker,
    country: str,
    since_us: int,
    carriers: Collection[str],
    *,
    apart: Collection[str] = (),
) -> bool:
    """Return whether these carriers fall silent in the median other country too.

    It is False without carriers.
    """
    where = presence, country, since_us
    users = [
        country_comparison.compare_countries(*where, carrier, apart=apart) for carrier in carriers
    ]
    return bool(users) and all(u.is_hit for u in users)


def are_beginning_elsewhere(
    presence: PresenceTracker,
    country: str,
    since_us: int,
    now_us: int,
    carriers: Collection[str],
    *,
    apart: Collection[str] = (),
) -> bool:
    """Return whether these carriers fail in one other country too, or begin to just now.

    An entrance that fails may reach one country after another. It takes most of its users there
    within a minute, so that a tenth which does not grow fell by chance, or by a fault of their own.
    It is False without carriers.
    """
    grows_us = max(since_us, now_us - int(2 * presence.limits.spread_s * SECOND_US))
    every = [
        (
            country_comparison.compare_countries(presence, country, since_us, each, apart=apart),
            country_comparison.compare_countries(presence, country, grows_us, each, apart=apart),
        )
        for each in carriers
    ]
    return bool(every) and all(whole.halved or latest.begun for whole, latest in every)
