"""Check decoded fields (length, vocabulary, host and port) and name the bad field."""

import re
from collections.abc import Sized
from enum import StrEnum
from functools import cache
from typing import TypeVar

from google.protobuf.message import Message

from heliograph.address import parse_literal
from heliograph.host_name import encode_host

# Unicode's category Cc: a terminal, a page or a log would obey them. Text that the network sent may
# have lines, which become one.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_BLANK = re.compile(r"[\t\n\r]")
MAX_TEXT = 2_048  # characters of any one text field

Word = TypeVar("Word", bound=StrEnum)


class CodecError(ValueError):
    """Report valid protobuf that breaks the contract; `field_name` names the field."""

    def __init__(self, field_name: str, problem: str) -> None:
        super().__init__(f"{field_name}: {problem}")
        self.field_name = field_name


def check_text(field_name: str, value: str, limit: int = MAX_TEXT) -> str:
    if not value:  # nine of ten fields, and a collector asks 450 times for one result
        return ""
    if len(value) > limit:
        raise CodecError(field_name, f"longer than {limit} characters")
    if not value.isprintable() and _CONTROL.search(value):
        raise CodecError(field_name, "has a control character")
    return value


def check_lines(field_name: str, value: str, limit: int = MAX_TEXT) -> str:
    """Check a text that the network sent, and make one line of it."""
    if not value:
        return ""
    line = value if value.isprintable() else _BLANK.sub(" ", value)
    return check_text(field_name, line, limit)


def replace_controls(value: str) -> str:
    """Replace characters that `check_lines` refuses.

    A hostile page cannot spoil a measurement by them.
    """
    return value if value.isprintable() else _CONTROL.sub("\ufffd", _BLANK.sub(" ", value))


def check_host(field_name: str, value: str) -> str:
    """Accept "", a name that a resolver accepts, or an address literal.

    Raises CodecError for anything else. A plan's hosts are checked on arrival because they are
    used only after every other way to the collector has failed, when an error is too late.
    """
    # ipaddress accepts any text after % as a zone id
    is_address = bool(parse_literal(value)) and not {"[", "%"} & set(value)
    if value and not is_address and encode_host(value) is None:
        raise CodecError(field_name, f"{value[:64]!r} is no host")
    return value


def check_port(field_name: str, value: int) -> int:
    if value > 65_535:
        raise CodecError(field_name, f"{value} is no port")
    return value


def parse_word(field_name: str, vocabulary: type[Word], value: str) -> Word:
    # In a third of the time of vocabulary(value).
    word: Word | None = _list_words(vocabulary).get(value)
    if word is None:
        raise CodecError(field_name, f"{value[:64]!r} is outside the vocabulary")
    return word


@cache
def _list_words(vocabulary: type[Word]) -> dict[str, Word]:
    return {word.value: word for word in vocabulary}


def check_count(field_name: str, values: Sized, limit: int) -> None:
    """Raise CodecError when there are more than `limit` values."""
    if len(values) > limit:
        raise CodecError(field_name, f"more than {limit}")


def replace_controls_in(message: Message) -> None:
    """Replace control characters, which older versions let in, in a message's texts."""
    for field, value in message.ListFields():
        if isinstance(value, str):
            setattr(message, field.name, _CONTROL.sub("\ufffd", value))
        elif isinstance(value, Message):
            replace_controls_in(value)
        elif not isinstance(value, bytes | int | float):
            for index, item in enumerate(value):
                if isinstance(item, Message):
                    replace_controls_in(item)
                elif isinstance(item, str):
                    value[index] = _CONTROL.sub("\ufffd", item)
