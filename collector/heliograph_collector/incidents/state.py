"""What the detector and the operator together say of one incident, folded from its entries. Pure.

The operator's words stand beside the detector's and never change them: `detected` and `confirmed`
stay the detector's own.
"""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heliograph_collector.incidents.book import Entry

DETECTOR, OPERATOR = "detector", "operator"
_PLACE = ("country", "region", "asn", "access")


class Act(StrEnum):
    """`change` of an operator's entry. No word of the detector's begins like these."""

    ACKNOWLEDGED = "operator_acknowledged"
    ANNOTATED = "operator_annotated"
    CONFIRMED = "operator_confirmed"
    WITHDRAWN = "operator_withdrawn"


class Standing:
    """Takes the entries of one incident in order.

    A withdrawal by the operator stands until the detector has new evidence: it confirms what it
    only suspected, sees it go dark again, or finds it in a cell outside all those that were known.
    A confirmation by the operator stands: what the detector then lets go of is closed.
    """

    def __init__(self, entries: "Iterable[Entry]" = ()) -> None:
        self.record: Mapping[str, Any] = {}  # the detector's newest
        self.change = ""  # its last
        self.last = 0  # the number of its last entry
        self._numbers: list[int] = []
        self._said: dict[str, Any] | None = None
        self._word: Act | None = None  # which of the operator's two verdicts stands
        self._known: list[tuple[Any, ...]] = []  # every cell that the detector named
        for entry in entries:
            self.take(entry)

    def take(self, entry: "Entry") -> None:
        self._numbers.append(entry.number)
        if is_operators(entry.body):
            self._hear(entry)
        else:
            self._learn(entry)

    def after(self, entry: "Entry") -> "Standing":
        """One that has taken it too; this one stays whole, for whoever reads it meanwhile."""
        one = deepcopy(self, {id(self.record): self.record})  # which nobody changes
        one.take(entry)
        return one

    @property
    def word(self) -> Act | None:
        return self._word

    @property
    def acknowledged(self) -> bool:
        return bool(self._said and self._said["acknowledged"])

    @property
    def notes(self) -> int:
        return len(self._said["notes"]) if self._said else 0

    def state(self) -> dict[str, Any]:
        """The detector's record, with `state` by both; the operator's words, or None of any."""
        detected = str(self.record["state"])
        found = {
            **self.record,
            "state": _together(detected, self._word),
            "detected": detected,
            "withdrawn_by": self._withdrawn_by(detected),
            "operator": _copy(self._said),
            "alerts": list(self._numbers),
        }
        return found | {"confirmed_by": self._confirmed_by(found)}

    def _hear(self, entry: "Entry") -> None:
        act = Act(entry.body["change"])
        if self._said is None:
            self._said = {"acknowledged": None, "confirmed": None, "withdrawn": None, "notes": []}
        told = {"entry": entry.number, **{n: entry.body[n] for n in ("at", "name", "text")}}
        if act is Act.ANNOTATED:
            self._said["notes"].append(told)
        elif act is Act.ACKNOWLEDGED:
            self._said["acknowledged"] = self._said["acknowledged"] or told
        else:
            self._end(entry.number)
            self._word = act
            self._said[_NAMES[act]] = told | {"until": None}

    def reopens(self, record: Mapping[str, Any], change: str) -> bool:
        """Whether this would be new evidence against a withdrawal that stands."""
        grown = any(not any(_within(c, old) for old in self._known) for c in _cells(record))
        return self._word is Act.WITHDRAWN and (grown or change in ("confirmed", "resumed"))

    def _learn(self, entry: "Entry") -> None:
        record, change = entry.body["incident"], str(entry.body.get("change", ""))
        if self.reopens(record, change):
            self._end(entry.number)
        self._known += [cell for cell in _cells(record) if cell not in self._known]
        self.record, self.change, self.last = record, change, entry.number

    def _end(self, number: int) -> None:
        """The verdict that stood stands no more, by this entry."""
        if self._word is not None and self._said is not None:
            self._said[_NAMES[self._word]]["until"] = number
        self._word = None

    def _confirmed_by(self, found: Mapping[str, Any]) -> list[str]:
        if found["state"] == "withdrawn":
            return []
        own = [DETECTOR] if self.record.get("confirmed") else []
        return [*own, OPERATOR] if self._word is Act.CONFIRMED else own

    def _withdrawn_by(self, detected: str) -> str:
        if self._word is Act.WITHDRAWN:
            return OPERATOR
        return DETECTOR if detected == "withdrawn" and self._word is None else ""


_NAMES = {Act.CONFIRMED: "confirmed", Act.WITHDRAWN: "withdrawn"}


def is_operators(body: Mapping[str, Any]) -> bool:
    return body.get("by") == OPERATOR


def _together(detected: str, word: Act | None) -> str:
    if word is Act.WITHDRAWN:
        return "withdrawn"
    if word is Act.CONFIRMED:
        return {"suspected": "confirmed", "withdrawn": "closed"}.get(detected, detected)
    return detected


def _cells(record: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [tuple(part[name] for name in _PLACE) for part in record.get("parts", ())]


def _within(cell: tuple[Any, ...], wider: tuple[Any, ...]) -> bool:
    return all(not there or here == there for here, there in zip(cell, wider, strict=True))


def _copy(said: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if said is None else {**said, "notes": list(said["notes"])}
