"""RIPE Atlas's own words on its probes: where each is, on which network, since when."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from heliograph_collector.detect.signals import Place
from heliograph_collector.evaluate.importers.moments import moment
from heliograph_collector.evaluate.importers.reading import Json, number, text

_ACCESS = {
    "mobile": ("mobile", "lte", "4g", "5g", "3g", "cellular"),
    "hosting": ("datacentre", "datacenter", "data-center", "cloud", "vps", "hosting", "anchor"),
    "fixed": ("home", "dsl", "adsl", "vdsl", "cable", "fibre", "fiber", "ftth"),
}
CONNECTED = 1


@dataclass(frozen=True, slots=True)
class Probe:
    number: int
    country: str
    asn: int
    access: str
    prefix: str
    first_us: int  # 0 not told
    connected: bool
    status_us: int  # since when it is what it is; 0 not told

    @property
    def place(self) -> Place:
        return Place(self.country, "", self.asn, self.access)


def is_probe(item: Json) -> bool:
    return "id" in item and "country_code" in item


def listed(item: Json) -> Iterator[Json]:
    """Probes of the API (`results`), of the archive (`objects`), or one alone."""
    if is_probe(item):
        yield item
    for key in ("results", "objects"):
        rows = item.get(key)
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict) and is_probe(row):
                yield row


def probe(item: Json) -> Probe | None:
    """None where its number is no number."""
    found = number(item.get("id"))
    if found is None or found < 1:
        return None
    country = text(item.get("country_code"), 2).upper()
    status = item.get("status")
    told = status.get("id") if isinstance(status, dict) else status
    prefix = text(item.get("prefix_v4")) or text(item.get("prefix_v6"))
    return Probe(
        number=int(found),
        country=country if len(country) == 2 and country.isalpha() else "ZZ",
        asn=network(item.get("asn_v4")) or network(item.get("asn_v6")),
        access=_access(item),
        prefix=hidden(prefix),
        first_us=moment(item.get("first_connected")) or 0,
        connected=told in (CONNECTED, str(CONNECTED)) or item.get("status_name") == "Connected",
        status_us=moment(item.get("status_since")) or 0,
    )


def network(value: object) -> int:
    found = number(value)
    return int(found) if found is not None and 0 < found < 2**32 else 0


def hidden(prefix: str) -> str:
    """A network's name that does not tell the network."""
    return hashlib.sha256(prefix.encode()).hexdigest()[:16] if prefix else ""


def _access(item: Json) -> str:
    """By what its host wrote on it; an anchor stands in a data centre."""
    if item.get("is_anchor") is True:
        return "hosting"
    rows = item.get("tags")
    tags = set()
    for row in rows[:64] if isinstance(rows, list) else ():
        slug = row.get("slug") or row.get("name") if isinstance(row, dict) else row
        tags.add(text(slug, 64).lower())
    for access, words in _ACCESS.items():
        if not tags.isdisjoint(words):
            return access
    return ""
