"""The operator's own entries in the alert log: what may be said, and how it is written. Pure.

Nobody is named in them but who chose to be; the text is public and can never be taken back.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from heliograph_collector.incidents.book import Entry
from heliograph_collector.incidents.record import moment
from heliograph_collector.incidents.state import OPERATOR, Act, Standing

MAX_TEXT = 500  # characters
MAX_NAME = 60
MAX_NOTES = 100  # about one incident
_JOINERS = "\u200c\u200d"  # Persian and Indic scripts need them


class ActError(Exception):
    """The operator's word cannot be taken; str() is a sentence with the cure."""


class ChangedError(ActError):
    """The incident is not any more what the operator looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """What an operator says of an incident. `seen`: the number of its newest entry when the
    operator looked (a verdict on what has changed since is refused); `name`: only of who wants
    to be named."""

    incident: str
    act: Act
    seen: int
    text: str = ""
    name: str = ""


def cleaned(text: str, most: int = MAX_TEXT) -> str:
    """One line, without spaces at its ends. Raises ActError on what could mislead a reader."""
    line = " ".join(text.split())
    if len(line) > most:
        raise ActError(f"It is {len(line)} characters long; at most {most} are taken.")
    for sign in line:
        if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Co", "Cn") and sign not in _JOINERS:
            raise ActError(f"It holds the invisible character U+{ord(sign):04X}; leave that out.")
    return line


def admit(saying: Saying, standing: Standing | None) -> Saying:
    """The same with clean text. Raises ActError, ChangedError."""
    if standing is None:
        raise ActError("No incident has this id.")
    saying = Saying(
        incident=saying.incident,
        act=saying.act,
        seen=saying.seen,
        text=cleaned(saying.text),
        name=cleaned(saying.name, MAX_NAME),
    )
    refusal = _refusal(saying, standing)
    if refusal:
        raise ActError(refusal)
    return saying


def _refusal(saying: Saying, standing: Standing) -> str:
    act, state = saying.act, standing.state()
    if act is Act.ACKNOWLEDGED and standing.acknowledged:
        return "It is acknowledged already."
    if act is Act.ANNOTATED and not saying.text:
        return "A note wants some text."
    if act is Act.ANNOTATED and standing.notes >= MAX_NOTES:
        return f"It has {MAX_NOTES} notes, and takes no more."
    if act is Act.WITHDRAWN and not saying.text:
        return "A withdrawal wants a reason, which readers will see."
    if act is Act.WITHDRAWN and state["state"] == "withdrawn":
        return "It is withdrawn already."
    if act is Act.CONFIRMED and standing.word is Act.CONFIRMED:
        return "It is confirmed by the operator already."
    if act is Act.CONFIRMED and state["withdrawn_by"] == "detector":
        return "The detector has taken it back; say what you know in a note."
    return ""


def body(saying: Saying, about: Entry, at_us: int, alert: bool) -> dict[str, Any]:
    """`about`: the detector's entry that it speaks of. `alert`: subscribers are called."""
    return {
        "at": moment(at_us),
        "by": OPERATOR,
        "change": saying.act.value,
        "alert": alert,
        "incident": {"id": saying.incident},
        "about": {"entry": about.number, "hash": about.hash},
        "name": saying.name,
        "text": saying.text,
    }


def flaw(body: Mapping[str, Any]) -> str:
    """What is wrong with an operator's entry by itself; "" when nothing is."""
    about = body.get("about")
    text, name = body.get("text"), body.get("name")
    if body.get("change") not in tuple(Act):
        return "it is the operator's, with a word that an operator does not have"
    if not isinstance(text, str) or not isinstance(name, str):
        return "it is the operator's, and lacks its text or name"
    if len(text) > MAX_TEXT or len(name) > MAX_NAME:
        return "it is the operator's, and too long"
    if not isinstance(about, dict) or not {"entry", "hash"} <= about.keys():
        return "it is the operator's, and does not say what it is about"
    return ""
