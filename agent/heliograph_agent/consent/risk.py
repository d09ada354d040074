"""Describe the risk of measuring in a country, by the shipped list.

The text is in the reader's language.
"""

from enum import IntEnum
from importlib.resources import files

from heliograph.translation import mark
from heliograph.translation import translate as _
from heliograph.yaml_document import parse_yaml
from heliograph_agent.consent.country import name_country


class RiskTier(IntEnum):
    """Rank the risk of measuring in a country; an unknown risk ranks highest."""

    LOW = 0
    WATCHED = 1
    PUNISHED = 2
    NOT_LOOKED_AT = 3


DESCRIPTIONS = {
    RiskTier.LOW: mark(
        "In {place}, as far as is known, nobody was punished for measuring a network."
    ),
    RiskTier.WATCHED: mark(
        "In {place} the network is censored and watched. That anybody was punished for measuring "
        "alone is not known; it would not protect you."
    ),
    RiskTier.PUNISHED: mark(
        "In {place} people were punished for far less than this. If you run it, only messengers "
        "and your own connection are tested until you say more."
    ),
    RiskTier.NOT_LOOKED_AT: mark(
        "What this may mean in {place} was not looked at: take it as dangerous until you know "
        "better."
    ),
}


def find_tier(country: str) -> RiskTier:
    """Return the tier of an ISO 3166-1 code in capitals; "" has the highest."""
    risks = parse_yaml(files(__package__).joinpath("risks.yml").read_bytes(), "risks.yml")
    for tier, countries in risks.mapping()["tiers"].mapping().items():
        if country in {item.content for item in countries.items()}:
            return RiskTier(int(tier))
    return RiskTier.NOT_LOOKED_AT


def describe_risk(country: str) -> str:
    place = name_country(country) or _("this country")
    return _(DESCRIPTIONS[find_tier(country)]).format(place=place)


def is_grave(country: str) -> bool:
    """Return whether a simple yes covers only messengers and anchors."""
    return find_tier(country) is RiskTier.PUNISHED
