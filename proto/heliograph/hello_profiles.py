"""Read the ClientHellos of browsers, which are data: shipped, or from a file.

>>> load_shipped_profiles().get("chrome").suites[0]
4865
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from pathlib import Path

from heliograph.quic_profile import QUIC_KEYS, InitialsProfile, parse_initials
from heliograph.request_profile import BUILT, RequestProfile, parse_requests
from heliograph.yaml_document import YamlEntry, YamlError, parse_yaml

MAX_PROFILES = 8  # assumed; each is one more connection to every server that is asked
MAX_BYTES = 16_384  # of one record (RFC 8446 section 5.1)
MAX_FILE = 65_536  # bytes; assumed, the shipped one has 12 kB
NEEDED = ("chrome", "firefox")  # that `hello` sends
OWN_BROWSER = "chrome"  # whose requests the agent sends

_VERSION = re.compile(r"(\d{4}-\d{2}-\d{2})\.(\d{1,4})", re.ASCII)
_FILE_KEYS = ("version", "profiles")
_LIST_KEYS = ("suites", "groups", "shares", "signatures")
_PROFILE_KEYS = (
    "ja4",
    "bytes",
    "permuted",
    "grease",
    *_LIST_KEYS,
    "ech_cipher",
    "ech_bytes",
    "extensions",
)
_OPTIONAL_KEYS = ("requests", "quic")  # an edition of before has none


class GreasePlace(StrEnum):
    """Name a list of the hello that holds a GREASE value (RFC 8701)."""

    SUITES = "suites"
    GROUPS = "groups"
    SIGNATURES = "signatures"
    VERSIONS = "versions"
    EXTENSIONS = "extensions"


@dataclass(frozen=True, slots=True, kw_only=True)
class HelloProfile:
    """Describe one browser's ClientHello; `hello_profiles.yml` explains the fields."""

    name: str
    ja4: str
    smallest: int
    largest: int
    is_permuted: bool
    grease: frozenset[GreasePlace]
    suites: tuple[int, ...]
    groups: tuple[int, ...]
    shares: tuple[int, ...]
    signatures: tuple[int, ...]
    ech_cipher: int
    ech_bytes: tuple[int, ...]
    extensions: Mapping[int, bytes | None]  # None for those that the builder fills
    requests: RequestProfile | None = None
    quic: "HelloProfile | None" = None  # the same browser's hello over QUIC
    initials: InitialsProfile | None = None  # of a hello over QUIC


@dataclass(frozen=True, slots=True, kw_only=True)
class HelloProfiles:
    """Hold one edition of the profiles."""

    version: str
    profiles: tuple[HelloProfile, ...]

    @property
    def edition(self) -> tuple[str, int]:
        """Return the number that is higher for a newer edition."""
        day, _, number = self.version.rpartition(".")
        return day, int(number)

    def get(self, name: str) -> HelloProfile:
        """Return the profile of this name. Raises KeyError."""
        return {profile.name: profile for profile in self.profiles}[name]


@cache
def load_shipped_profiles() -> HelloProfiles:
    """Load the edition that came with this program."""
    from importlib import resources

    file = resources.files("heliograph").joinpath("hello_profiles.yml")
    return parse_profiles(file.read_bytes(), "hello_profiles.yml")


def get_requests(edition: HelloProfiles | None = None) -> RequestProfile:
    """Return the agent's HTTP requests; the shipped ones if the edition has none."""
    for profiles in (edition, load_shipped_profiles()):
        requests = profiles.get(OWN_BROWSER).requests if profiles else None
        if requests is not None:
            return requests
    raise RuntimeError("hello_profiles.yml was shipped without requests")


def read_profiles(path: Path | None) -> bytes:
    """Read a file of profiles unchanged, after a check; return b"" without a file.

    Raises YamlError.
    """
    if path is None:
        return b""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise YamlError(str(path), 0, f"cannot be read: {error.strerror}") from error
    parse_profiles(content, str(path))
    return content


def parse_profiles(content: bytes, source: str) -> HelloProfiles:
    """Parse a file of profiles. Raises YamlError, which names `source`."""
    if len(content) > MAX_FILE:
        raise YamlError(source, 0, f"has more than {MAX_FILE} bytes; leave out old profiles")
    keys = parse_yaml(content, source).mapping(_FILE_KEYS, required=_FILE_KEYS)
    profiles = keys["profiles"].mapping()
    if not 0 < len(profiles) <= MAX_PROFILES:
        raise keys["profiles"].error(f"from 1 to {MAX_PROFILES} are allowed")
    if missing := [name for name in NEEDED if name not in profiles]:
        raise keys["profiles"].error(f"{missing[0]} is missing")
    version = keys["version"].parse_text()
    if not _VERSION.fullmatch(version):
        raise keys["version"].error(f"{version[:64]!r} must be like 2026-11-27.1")
    return HelloProfiles(
        version=version,
        profiles=tuple(_parse_profile(name, entry) for name, entry in profiles.items()),
    )


def _parse_profile(name: str, entry: YamlEntry) -> HelloProfile:
    keys = entry.mapping((*_PROFILE_KEYS, *_OPTIONAL_KEYS), required=_PROFILE_KEYS)
    return replace(
        _parse_hello(name, keys),
        requests=parse_requests(keys["requests"]) if "requests" in keys else None,
        quic=_parse_quic(name, keys["quic"]) if "quic" in keys else None,
    )


def _parse_quic(name: str, entry: YamlEntry) -> HelloProfile:
    needed = (*_PROFILE_KEYS, *QUIC_KEYS)
    keys = entry.mapping(needed, required=needed)
    return replace(_parse_hello(name, keys), initials=parse_initials(entry))


def _parse_hello(name: str, keys: Mapping[str, YamlEntry]) -> HelloProfile:
    sizes = tuple(item.parse_integer(1, MAX_BYTES) for item in keys["bytes"].items())
    if len(sizes) != len(("smallest", "largest")) or sizes != tuple(sorted(sizes)):
        raise keys["bytes"].error("must be the smallest and the largest size")
    grease_places = tuple(GreasePlace)
    numbers = {key: tuple(map(_parse_number, keys[key].items())) for key in _LIST_KEYS}
    return HelloProfile(
        name=name,
        ja4=keys["ja4"].parse_text(),
        smallest=sizes[0],
        largest=sizes[1],
        is_permuted=keys["permuted"].parse_flag(),
        grease=frozenset(
            GreasePlace(p.parse_choice(grease_places)) for p in keys["grease"].items()
        ),
        suites=numbers["suites"],
        groups=numbers["groups"],
        shares=numbers["shares"],
        signatures=numbers["signatures"],
        ech_cipher=_parse_number(keys["ech_cipher"]),
        ech_bytes=tuple(item.parse_integer(1, 1_024) for item in keys["ech_bytes"].items()),
        extensions={
            _parse_hex_number(number, item): _parse_content(item)
            for number, item in keys["extensions"].mapping().items()
        },
    )


def _parse_number(entry: YamlEntry) -> int:
    return _parse_hex_number(entry.parse_text(), entry)


def _parse_hex_number(digits: str, entry: YamlEntry) -> int:
    if len(digits) != 4:  # two bytes
        raise entry.error(f"{digits[:64]!r} must be four hexadecimal digits")
    return int.from_bytes(_parse_hex(digits, entry), "big")


def _parse_content(entry: YamlEntry) -> bytes | None:
    digits = entry.parse_text()
    return None if digits == BUILT else _parse_hex(digits, entry)


def _parse_hex(digits: str, entry: YamlEntry) -> bytes:
    try:
        return bytes.fromhex(digits)
    except ValueError as error:
        raise entry.error(f"{digits[:64]!r} must be hexadecimal digits") from error
