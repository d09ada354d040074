"""Of whom a series is: a country, a region of it, a network. "ZZ" is a country that is not told."""

import re

from heliograph_collector.incidents.scope import Scope
from heliograph_collector.sources.json_objects import Json, text

UNTOLD = "ZZ"
_COUNTRY = re.compile(r"[A-Z]{2}")
_WORD = re.compile(r"(?<![A-Za-z])([A-Z]{2})(?![A-Za-z])")
_NETWORK = re.compile(r"(?:AS)?(\d{1,10})", re.IGNORECASE)


def named(entity: str) -> Scope:
    """As a person writes it: IR, IR/Tehran, IR/AS44244, AS44244. Raises ValueError."""
    first, _, rest = entity.strip().partition("/")
    network = _NETWORK.fullmatch(rest or first)
    if _COUNTRY.fullmatch(first.upper()) and len(first) == 2:
        country = first.upper()
        if network:
            return Scope(country, asn=int(network[1]) % 2**32)
        return Scope(country, region=rest[:64])
    if network and not rest:
        return Scope(UNTOLD, asn=int(network[1]) % 2**32)
    raise ValueError(f"{entity!r} names no entity: write IR, IR/Tehran, IR/AS44244 or AS44244")


def in_name(stem: str) -> Scope:
    """The country that a file's name gives away by two capitals."""
    found = _WORD.findall(stem)
    return Scope(found[0] if len(found) == 1 else UNTOLD)


def of_ioda(signal: Json) -> Scope:
    """entityType and entityCode; a region's code is a number, so its country is in the fqid."""
    kind, code = text(signal.get("entityType")).lower(), text(signal.get("entityCode"))
    code = code or str(signal.get("entityCode") or "")
    if kind == "country":
        return Scope(code if _COUNTRY.fullmatch(code) else UNTOLD)
    if kind == "asn":
        return Scope(UNTOLD, asn=_network(code))
    if kind == "geoasn":
        asn, _, where = code.partition("-")
        return Scope(where if _COUNTRY.fullmatch(where) else UNTOLD, asn=_network(asn))
    return Scope(_in_fqid(signal), region=(text(signal.get("entityName")) or code)[:64])


def _network(code: str) -> int:
    found = _NETWORK.fullmatch(code)
    return int(found[1]) % 2**32 if found else 0


def _in_fqid(signal: Json) -> str:
    """`geo.netacuity.AS.IR.1234`: the continent, then the country."""
    parts = [p for p in text(signal.get("entityFqid")).split(".") if _COUNTRY.fullmatch(p)]
    return parts[1] if len(parts) > 1 else UNTOLD
