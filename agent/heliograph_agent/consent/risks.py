"""How dangerous it may be to measure here, as shipped data; who is not in it was not looked at."""

from enum import IntEnum
from importlib.resources import files

UNKNOWN_PLACE = ""


class Tier(IntEnum):
    """The higher the worse; what was not looked at is taken as bad."""

    LOW = 0
    WATCHED = 1
    PUNISHED = 2
    NOT_LOOKED_AT = 3


WORDS = {
    Tier.LOW: "In {place}, as far as is known, nobody was punished for measuring a network.",
    Tier.WATCHED: "In {place} the network is censored and watched. That anybody was punished for "
    "measuring alone is not known; it would not protect you.",
    Tier.PUNISHED: "In {place} people were punished for far less than this. If you run it, only "
    "messengers and your own connection are tested until you say more.",
    Tier.NOT_LOOKED_AT: "What this may mean in {place} was not looked at: take it as dangerous "
    "until you know better.",
}


def tier_of(country: str) -> Tier:
    """By ISO 3166-1 code, capitals; of "" not looked at."""
    import yaml

    listed = yaml.safe_load(files(__package__).joinpath("risks.yml").read_bytes())["tiers"]
    for tier, countries in listed.items():
        if country in countries:
            return Tier(int(tier))
    return Tier.NOT_LOOKED_AT


def words(country: str) -> str:
    return WORDS[tier_of(country)].format(place=country or "this country")


def is_grave(country: str) -> bool:
    """Whether a simple yes covers messengers and anchors alone."""
    return tier_of(country) is Tier.PUNISHED
