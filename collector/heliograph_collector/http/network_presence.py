"""Presence of one network's vantages: silent, or offline by their reports. Pure."""

from collections import Counter
from collections.abc import Collection, Mapping

from heliograph.observation import Link


def find_link(links: Counter[Link]) -> Link:
    """Return the most common state; offline only if more than half report it.

    By that word alone a network is dark on the map, and its services are not judged.
    """
    if 2 * links[Link.OFFLINE] > links.total():
        return Link.OFFLINE
    others = [link for link, _ in links.most_common() if link is not Link.OFFLINE]
    return others[0] if others else Link.UNKNOWN


def count_silent(silent: int, connected: int, vantages: int | None) -> int:
    """Return how many are still silent.

    A bin counts all that fell silent in its twenty minutes; most may be back. Without fresh cells
    (`vantages` None) nobody knows who is connected now, so all are back or none is known to be.
    """
    if vantages is None:
        return silent if connected < silent else 0
    return min(silent, vantages - connected)


def measures_elsewhere(regions: Mapping[str, int], dark: Collection[str], k: int) -> bool:
    """Return whether enough of a network measured outside its dark regions.

    Then the network itself is not offline.

    Args:
        regions: Vantages by region; "": others.
        dark: Codes of regions; "": the whole network.
    """
    elsewhere = sum(count for region, count in regions.items() if region not in dark)
    return "" not in dark and elsewhere >= max(k, 1)
