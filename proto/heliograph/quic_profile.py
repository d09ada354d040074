"""Describe how a browser begins a QUIC connection (RFC 9000): its first Initials.

It is part of the browser's profile (heliograph.hello_profiles). The ClientHello inside differs from
that over TCP in its lists and extensions.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from heliograph.yaml_document import YamlEntry

QUIC_KEYS = ("datagram", "source_id", "layout", "parameters", "permuted_parameters")
MAX_PARAMETERS = 32  # assumed, Chromium sends 13
MIN_DATAGRAM = 1_200  # RFC 9000 section 14.1
MAX_DATAGRAM = 1_452  # what IPv6 carries over Ethernet

_NUMBER = re.compile(r"[0-9a-f]{2,16}")
_VALUE = re.compile(r"([0-9a-f]{2})*|version_information|source_id|grease")


class InitialLayout(StrEnum):
    """Name how the hello is spread over the two packets."""

    SCRAMBLED = "scrambled"  # pieces at random places among PING and PADDING frames
    SLICED = "sliced"  # cut within the name, and zeros after each packet


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialsProfile:
    """Describe the Initials of one browser; `hello_profiles.yml` explains the fields."""

    datagram_bytes: int
    source_id_bytes: int
    layout: InitialLayout
    parameters: Sequence[tuple[int, str]]
    has_permuted_parameters: bool


def parse_initials(entry: YamlEntry) -> InitialsProfile:
    """Parse the keys of a profile's `quic` that TCP's hello lacks. Raises YamlError."""
    keys = entry.mapping()
    parameters = tuple(map(_parse_parameter, keys["parameters"].items()))
    if len(parameters) > MAX_PARAMETERS:
        raise keys["parameters"].error(f"at most {MAX_PARAMETERS} are allowed")
    layouts = tuple(InitialLayout)
    return InitialsProfile(
        datagram_bytes=keys["datagram"].parse_integer(MIN_DATAGRAM, MAX_DATAGRAM),
        source_id_bytes=keys["source_id"].parse_integer(0, 20),
        layout=InitialLayout(keys["layout"].parse_choice(layouts)),
        parameters=parameters,
        has_permuted_parameters=keys["permuted_parameters"].parse_flag(),
    )


def _parse_parameter(entry: YamlEntry) -> tuple[int, str]:
    pair = entry.items()
    if len(pair) != 2:
        raise entry.error("must be a number and its value")
    number = pair[0].parse_text()
    value = pair[1].parse_text()
    if not _NUMBER.fullmatch(number) or not _VALUE.fullmatch(value):
        raise entry.error("must be hexadecimal digits, and the value or how it is made")
    return int(number, 16), value
