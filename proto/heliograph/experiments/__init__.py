"""Register the experiments: what agents can run, and what is derived from it.

Plan files, opt-outs, the default plan, labels, OONI's names and the code for the telephone read
this list; none has a list of its own. An entry stands in the module of its category:

>>> REGISTRY["stun"].interval_s
3600
"""

from collections.abc import Mapping

from heliograph.experiments import anchors, circumvention, messengers, network, web
from heliograph.experiments.entry import Category, ExperimentEntry, VoiceClass

__all__ = [
    "ANCHORS",
    "NAMES",
    "REGISTRY",
    "Category",
    "ExperimentEntry",
    "VoiceClass",
    "category_of",
    "entry_of",
    "is_for_controls",
    "ooni_name",
]

ANCHORS = "connectivity"  # the one that asks about the vantage and not about a target
REGISTRY: Mapping[str, ExperimentEntry] = {
    entry.name: entry
    for entry in (
        *anchors.ENTRIES,
        *network.ENTRIES,
        *web.ENTRIES,
        *messengers.ENTRIES,
        *circumvention.ENTRIES,
    )
}
NAMES = tuple(sorted(REGISTRY))


def entry_of(name: str) -> ExperimentEntry | None:
    """Find an entry; None for what this edition does not know."""
    return REGISTRY.get(name)


def category_of(name: str) -> Category:
    """Name the category that an experiment is left out with, unknown ones included."""
    entry = REGISTRY.get(name)
    return entry.category if entry else Category.NETWORK


def is_for_controls(name: str) -> bool:
    """Tell whether controls alone run it, so that it is no vantage's state."""
    entry = REGISTRY.get(name)
    return entry is not None and entry.role == "control"


def ooni_name(name: str) -> str:
    """Give OONI's name of the same test, or our own where OONI has none."""
    entry = REGISTRY.get(name)
    return entry.ooni_test if entry and entry.ooni_test else name
