"""What a decoded field may be: its length, its words; and the error that names the field."""

from collections.abc import Sized
from enum import StrEnum
from typing import TypeVar

MAX_TEXT = 2_048  # characters of any one text field

Word = TypeVar("Word", bound=StrEnum)


class CodecError(ValueError):
    """A message that is well-formed protobuf and yet not ours; `place` names the field."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.place = place


def text(place: str, value: str, limit: int = MAX_TEXT) -> str:
    if len(value) > limit:
        raise CodecError(place, f"longer than {limit} characters")
    return value


def port(place: str, value: int) -> int:
    if value > 65_535:
        raise CodecError(place, f"{value} is no port")
    return value


def word(place: str, words: type[Word], value: str) -> Word:
    try:
        return words(value)
    except ValueError:
        raise CodecError(place, f"{value[:64]!r} is outside the vocabulary") from None


def at_most(place: str, values: Sized, limit: int) -> None:
    """Raises CodecError when there are more than `limit`."""
    if len(values) > limit:
        raise CodecError(place, f"more than {limit}")
