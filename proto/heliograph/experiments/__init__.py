"""Register the experiments that agents can run, and all that depends on them.

Plan files, opt-outs, the default plan, labels and OONI's names read this registry; none has a
separate list. The module of a category holds the entries of that category.

>>> REGISTRY["stun"].interval_s
3600
"""

from collections.abc import Mapping

from heliograph.experiments import anchors, circumvention, messengers, network, web
from heliograph.experiments.entry import Category, ExperimentEntry
from heliograph.plan import ANCHORS

__all__ = [
    "ANCHORS",
    "NAMES",
    "REGISTRY",
    "Category",
    "ExperimentEntry",
    "category_of",
    "entry_of",
    "is_for_controls",
    "is_visitable",
    "ooni_name",
]

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
    """Find an entry; None for an experiment that this version does not know."""
    return REGISTRY.get(name)


def category_of(name: str) -> Category:
    """Return the category of an experiment, NETWORK for an unknown one."""
    entry = REGISTRY.get(name)
    return entry.category if entry else Category.NETWORK


def is_for_controls(name: str) -> bool:
    """Tell whether only controls run it, so that it shows no vantage's state."""
    entry = REGISTRY.get(name)
    return entry is not None and entry.role == "control"


def is_visitable(name: str) -> bool:
    """Tell whether a control may repeat it at one address of one endpoint."""
    entry = REGISTRY.get(name)
    return entry is not None and entry.visitable


def ooni_name(name: str) -> str:
    """Return OONI's name of the same test, or our own where OONI has none."""
    entry = REGISTRY.get(name)
    return entry.ooni_test if entry and entry.ooni_test else name
