"""Scope of a series: a country, a region of it, or a network; "ZZ" is unknown."""

import re

from heliograph_collector.model.scope import Scope
from heliograph_collector.sources.json_objects import Json, as_text

UNKNOWN_COUNTRY = "ZZ"
_COUNTRY = re.compile(r"[A-Z]{2}")
_CAPITALS = re.compile(r"(?<![A-Za-z])([A-Z]{2})(?![A-Za-z])")
_NETWORK = re.compile(r"(?:AS)?(\d{1,10})", re.IGNORECASE)


def parse_entity(entity: str) -> Scope:
    """Parse IR, IR/Tehran, IR/AS44244 or AS44244. Raises ValueError."""
    first, _, rest = entity.strip().partition("/")
    network = _NETWORK.fullmatch(rest or first)
    if _COUNTRY.fullmatch(first.upper()) and len(first) == 2:
        country = first.upper()
        if network:
            return Scope(country, asn=int(network[1]) % 2**32)
        return Scope(country, region=rest[:64])
    if network and not rest:
        return Scope(UNKNOWN_COUNTRY, asn=int(network[1]) % 2**32)
    raise ValueError(f"{entity!r} names no entity: write IR, IR/Tehran, IR/AS44244 or AS44244")


def guess_country(stem: str) -> Scope:
    """Return the country whose two capitals a file's name contains."""
    codes = _CAPITALS.findall(stem)
    return Scope(codes[0] if len(codes) == 1 else UNKNOWN_COUNTRY)


def parse_ioda_scope(signal: Json) -> Scope:
    """Parse entityType and entityCode of an IODA signal.

    The code of a region is a number, so its country comes from the fqid.
    """
    kind = as_text(signal.get("entityType")).lower()
    code = as_text(signal.get("entityCode"))
    code = code or str(signal.get("entityCode") or "")
    if kind == "country":
        return Scope(code if _COUNTRY.fullmatch(code) else UNKNOWN_COUNTRY)
    if kind == "asn":
        return Scope(UNKNOWN_COUNTRY, asn=_parse_asn(code))
    if kind == "geoasn":
        asn, _, country_code = code.partition("-")
        return Scope(
            country_code if _COUNTRY.fullmatch(country_code) else UNKNOWN_COUNTRY,
            asn=_parse_asn(asn),
        )
    return Scope(
        _find_country_in_fqid(signal), region=(as_text(signal.get("entityName")) or code)[:64]
    )


def _parse_asn(code: str) -> int:
    match = _NETWORK.fullmatch(code)
    return int(match[1]) % 2**32 if match else 0


def _find_country_in_fqid(signal: Json) -> str:
    """Find the country in `geo.netacuity.AS.IR.1234`, after the continent."""
    parts = [p for p in as_text(signal.get("entityFqid")).split(".") if _COUNTRY.fullmatch(p)]
    return parts[1] if len(parts) > 1 else UNKNOWN_COUNTRY
