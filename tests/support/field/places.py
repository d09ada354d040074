"""The addresses of the field, and the values of a row's placeholders. Pure.

    places ── gate ── border ── abroad ── control

Places are vantages of the country, each with its own cable to the gate, where the censor sits. A
row owns a name and addresses that nobody else uses, so that all rows can be played at once.
"""

from collections.abc import Mapping, Sequence
from string import Template
from typing import TypeVar

PLACES = ("home", "offline", "domestic", "captive", "mute", "six", "office")
GATE, BORDER, ABROAD, CONTROL = "gate", "border", "abroad", "control"
PROVIDER, DOMESTIC = "5.9.0.53", "5.2.0.10"  # the provider's resolver, a host of the country
RESOLVER, PUBLIC, DOH = "45.90.2.53", "9.9.9.10", "45.90.2.54"  # abroad
NOWHERE = "45.90.2.56"  # serves no DNS
REFUSING = "45.90.2.55"  # a name server that refuses everybody
LENIENT = "45.90.2.57"  # a resolver that validates nothing
ANCHOR, NEUTRAL = "45.90.2.10", "45.90.2.11"
ABROAD_WIRE, BORDER_WIRE = "45.90.0.1", "45.90.0.2"
BORDER_HOME, GATE_WIRE = "45.90.1.1", "45.90.1.2"
CONTROL_WIRE, CONTROL_ADDRESS = "45.90.3.1", "45.90.3.2"
INJECTED, ALIVE = "31.13.64.1", "45.92.250.1"  # of forged answers: no host, and a stranger's
SIX, SIX_ABROAD = "2a0d:5600:1", "2a0d:5600:91"
ANCHOR_NAME, NEUTRAL_NAME, DOMESTIC_NAME = "anchor.example", "neutral.example", "gov.example"

_T = TypeVar("_T")


def address_of(place: str) -> str:
    return f"5.10.{16 + PLACES.index(place)}.2"


def placeholders(number: int) -> Mapping[str, str]:
    words = {
        "name": f"t{number:03}.example",
        "site": f"45.91.{number}.1",
        "other": f"45.92.{number}.1",  # as far away as another network
        "censor": f"77.77.{number}.1",  # a host of the censor's, in the country
        "six": f"{SIX_ABROAD}::{number}",
        "six2": f"{SIX_ABROAD}:2::{number}",
        "anchor": ANCHOR,
        "neutral": NEUTRAL,
        "neutral_name": NEUTRAL_NAME,
        "public": PUBLIC,
        "resolver": RESOLVER,
        "lenient": LENIENT,
        "nowhere": NOWHERE,
        "doh": DOH,
        "injected": INJECTED,
        "alive": ALIVE,
    }
    return words | {f"site{n}": f"45.91.{number}.{n}" for n in range(2, 10)}


def filled(said: _T, words: Mapping[str, str]) -> _T:
    """Return the same structure with every `$word` in its texts replaced."""
    made: object = said
    if isinstance(said, str):
        made = Template(said).substitute(words)
    elif isinstance(said, Mapping):
        made = {filled(key, words): filled(value, words) for key, value in said.items()}
    elif isinstance(said, Sequence):
        made = [filled(one, words) for one in said]
    return made  # type: ignore[return-value]
