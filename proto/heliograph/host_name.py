"""Encode host names as browsers do: UTS 46, nontransitional, without STD 3's rules.

The steps are the WHATWG URL standard's "domain to ASCII" with beStrict false (url.spec.whatwg.org,
section 3.3) and its parser of IPv4 numbers (section 3.5), so that `faß.de` is the site that a
browser opens under this name. The package `idna` has the tables; its own `encode` is stricter than
browsers (IDNA 2008): it refuses `r3---sn-a.example` and symbols.

>>> encode_host("FAß。de.")
'xn--fa-hia.de'
"""

import re
from functools import lru_cache

from heliograph.address import parse_literal

_MAX_INPUT = 1_024  # characters before they are mapped; assumed
_PREFIX = "xn--"
# A name has at most 253 characters (RFC 1035 section 2.3.4).
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
_JOINERS = "\u200c\u200d"
_RIGHT_TO_LEFT = ("R", "AL", "AN")  # RFC 5893 section 1.4


@lru_cache(maxsize=1_024)
def encode_host(value: str) -> str | None:
    """Return a host as it is queried and sent: a name in ASCII, or an address.

    One dot at the end is left out. None for what no browser takes for a host.
    """
    if not {"[", "%"} & set(value) and parse_literal(value):
        return value
    if len(value) > _MAX_INPUT:
        return None
    name = value.lower() if value.isascii() else _map_characters(value)
    labels = (name or "").removesuffix(".").split(".")
    encoded = [_encode_label(label) for label in labels]
    unicode_labels = [_decode_label(label) for label in encoded if label]
    name = ".".join(label or "" for label in encoded)
    if None in unicode_labels or not _are_directions_valid(unicode_labels):
        return None
    if _NUMBER.fullmatch(labels[-1]):
        return _parse_ipv4(labels)
    return name if _NAME.fullmatch(name) else None


def _map_characters(value: str) -> str | None:
    import idna  # its tables are loaded only for names that need them

    try:
        return idna.uts46_remap(value, std3_rules=False)
    except idna.IDNAError:
        return None


def _encode_label(label: str) -> str | None:
    if label.isascii():
        return label
    return _PREFIX + label.encode("punycode").decode("ascii")


def _decode_label(label: str | None) -> str | None:
    """Return a label in Unicode; None when UTS 46 does not let it be one."""
    if not label or not label.startswith(_PREFIX):
        return label
    try:
        text = label.removeprefix(_PREFIX).encode("ascii").decode("punycode")
    except UnicodeError:
        return None
    return text if not text.isascii() and _is_valid(text) else None


def _is_valid(label: str) -> bool:
    """Check a label (UTS 46 section 4.1): mapped, no mark first, joiners in place."""
    import idna

    if label.startswith(_PREFIX) or "." in label or _map_characters(label) != label:
        return False
    try:
        idna.check_initial_combiner(label)
        return all(
            idna.valid_contextj(label, index)
            for index, character in enumerate(label)
            if character in _JOINERS
        )
    except (idna.IDNAError, ValueError):
        return False


def _are_directions_valid(labels: list[str | None]) -> bool:
    """Check all labels by the Bidi rule (RFC 5893) if one is right-to-left."""
    text = "".join(label or "" for label in labels)
    if text.isascii():
        return True
    import unicodedata

    if not any(unicodedata.bidirectional(character) in _RIGHT_TO_LEFT for character in text):
        return True
    import idna

    try:
        return all(idna.check_bidi(label, check_ltr=True) for label in labels if label)
    except idna.IDNAError:
        return False


def _parse_ipv4(labels: list[str]) -> str | None:
    """Parse an IPv4 address in numbers, whose last one fills the rest; None for none."""
    if len(labels) > 4 or not all(map(_NUMBER.fullmatch, labels)):
        return None
    try:
        *front, last = map(_parse_number, labels)
    except ValueError:
        return None
    if any(number > 255 for number in front) or last >= 256 ** (5 - len(labels)):
        return None
    total = last + sum(number << 8 * (3 - index) for index, number in enumerate(front))
    return ".".join(str(byte) for byte in total.to_bytes(4, "big"))


def _parse_number(text: str) -> int:
    """Parse a number in hexadecimal, octal or decimal. Raises ValueError."""
    if text.startswith("0x"):
        return int(text[2:] or "0", 16)
    return int(text, 8 if len(text) > 1 and text.startswith("0") else 10)
