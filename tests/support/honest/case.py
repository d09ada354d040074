"""Read the cases of tests/honest: the facts of both sides, and the right states.

A case is written as facts. `web_document.py` and `messenger_document.py` turn them into OONI
documents; `native` facts are the steps of `support/scenario.py`. A file's name is the kind of its
cases. `pattern` rows write many cases of one form: `$1`, `$2` … are replaced from each of `rows`.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
import yaml

HONEST = Path(__file__).parents[2] / "honest"
PACKETS = "packets.yml"  # played in the lab
KNOWN_PACKET_FAILURES = "known_packet_failures.yml"
PEERS: dict[str, Mapping[str, str]] = {"DE": {}, "FR": {}, "US": {}}  # where all works
KNOWN_FAILURES = "known_failures.yml"
Grade: TypeAlias = Literal["right", "wrong", "grave"]
Facts: TypeAlias = Mapping[str, Any]


class Page(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An HTTP response; `bytes` is the length that filler brings the body to."""

    status: int = 200
    title: str = ""
    text: str = ""
    bytes: int = 0
    headers: Mapping[str, str] = {}


class Chain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A certificate chain: made from these facts, or a real one of honest/chains."""

    issuer: str = ""  # a distinguished name as RFC 4514 writes it
    subject: str = ""  # "" is the host of the URL
    since: str = "2024-01-15"
    until: str = "2025-01-15"
    file: str = ""


class Hop(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One URL of a redirect chain: lookups, endpoints by address and port, the page."""

    url: str
    dns: str | Mapping[str, str] = ""
    ends: Mapping[str, str] = {}
    page: int | Page = 200
    cert: Chain | None = None


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The results of OONI's test helper; `ends` names exceptions, all others worked."""

    dns: str
    ends: Mapping[str, str] = {}
    page: int | str | Page = 200


class Web(Hop, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A measurement of web_connectivity; `helper` may be the failure to reach one."""

    control: Control | None = None
    then: tuple[Hop, ...] = ()
    probe: Literal["0.4", "0.5"] = "0.5"
    helper: str = "new"  # old: before October 2022, without TLS handshakes
    cc: str = "DE"
    asn: int = 3320
    resolver_asn: int = 0  # 0 is the probe's own network
    asns: Mapping[str, int] = {}
    time: str = "2024-05-10 12:00:00"  # by the probe's clock
    real_day: str = ""  # by the backend's, which names the report


class Messenger(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A measurement of a messenger; `fails` maps target patterns to `step failure`."""

    test: str
    fails: Mapping[str, str] = {}
    peers: Mapping[str, Mapping[str, str]] = msgspec.field(default_factory=PEERS.copy)
    cc: str = "IR"
    asn: int = 44244
    target: str = ""  # of stunreachability
    cert: Chain | None = None
    time: str = "2024-05-10 12:00:00"


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A measurement of another OONI test; keys as its specification writes them."""

    test: str
    keys: Facts
    input: str | None = None
    peers: Mapping[str, Facts] = {}  # test keys of probes in other countries
    cc: str = "IR"
    asn: int = 44244
    time: str = "2024-05-10 12:00:00"


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One case; one of `web`, `messenger`, `document`, `native`, `live` has its facts."""

    case: str
    source: str
    world: str
    right: tuple[str, ...]
    kind: str = ""
    no_worse_than: str = ""  # another case, which lacks one fact in favor
    web: Web | None = None
    messenger: Messenger | None = None
    document: Document | None = None
    native: Facts | None = None
    experiment: str = "web"  # of a case on packets, whose facts are `live`
    live: Facts | None = None

    def grade(self, state: str) -> Grade:
        """Grade a state; a wrong block and a block read as reachable are grave."""
        if state in self.right:
            return "right"
        is_block_missed = state == "reachable" and set(self.right) <= {"blocked", "partial"}
        return "grave" if state == "blocked" or is_block_missed else "wrong"


@cache
def read_cases(folder: Path = HONEST) -> tuple[Case, ...]:
    """Read all cases; raise msgspec.ValidationError on a malformed one."""
    others = {PACKETS, KNOWN_FAILURES, KNOWN_PACKET_FAILURES}
    files = [path for path in sorted(folder.glob("*.yml")) if path.name not in others]
    entries = [(path.stem, entry) for path in files for entry in _expand(read_yaml(path))]
    return tuple(msgspec.convert({**entry, "kind": kind}, Case) for kind, entry in entries)


@cache
def read_packet_cases(folder: Path = HONEST) -> tuple[Case, ...]:
    entries = [entry for entry in read_yaml(folder / PACKETS) if "case" in entry]
    return tuple(msgspec.convert({**entry, "kind": "packets"}, Case) for entry in entries)


def read_yaml(path: Path) -> list[Facts]:
    entries: list[Facts] = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader) or []
    return entries


def _expand(entries: list[Facts]) -> Iterator[Facts]:
    for entry in entries:
        if "pattern" in entry:
            for row in entry["rows"]:
                yield _fill(entry["pattern"], {f"${n}": v for n, v in enumerate(row, 1)})
        elif "case" in entry:
            yield entry


def _fill(facts: Any, words: Mapping[str, Any]) -> Any:
    """Replace words; a text that is nothing but a word becomes the row's value itself."""
    if isinstance(facts, str):
        if facts in words:
            return words[facts]
        for word, value in words.items():
            facts = facts.replace(word, str(value))
        return facts
    if isinstance(facts, Mapping):
        return {_fill(key, words): _fill(value, words) for key, value in facts.items()}
    return [_fill(one, words) for one in facts] if isinstance(facts, list) else facts
