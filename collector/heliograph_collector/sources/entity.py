"""Scope of a series: a country, a region of it, or a network; "ZZ" is unknown."""

import re
from typing import Annotated

import msgspec

from heliograph_collector.model.scope import Scope
from heliograph_collector.sources.typed_reader import Text256

UNKNOWN_COUNTRY = "ZZ"
_COUNTRY = re.compile(r"[A-Z]{2}")
_CAPITALS = re.compile(r"(?<![A-Za-z])([A-Z]{2})(?![A-Za-z])")
_NETWORK = re.compile(r"(?:AS)?(\d{1,10})", re.IGNORECASE)


def _read_code(value: object) -> str:
    return value[:256] if isinstance(value, str) else str(value or "")


class IodaEntity(
    msgspec.Struct,
    frozen=True,
    rename={"kind": "entityType", "code": "entityCode", "name": "entityName", "fqid": "entityFqid"},
):
    """The entity of an IODA signal, such as country IR or asn 44244."""

    kind: Text256 = ""
    code: Annotated[str, _read_code] = ""
    name: Text256 = ""
    fqid: Text256 = ""


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


def parse_ioda_scope(entity: IodaEntity) -> Scope:
    """Convert an IODA entity; a region's code is a number, so the fqid names its country."""
    kind = entity.kind.lower()
    code = entity.code
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
    return Scope(_find_country_in_fqid(entity.fqid), region=(entity.name or code)[:64])


def _parse_asn(code: str) -> int:
    match = _NETWORK.fullmatch(code)
    return int(match[1]) % 2**32 if match else 0


def _find_country_in_fqid(fqid: str) -> str:
    """Find the country in `geo.netacuity.AS.IR.1234`, after the continent."""
    parts = [part for part in fqid.split(".") if _COUNTRY.fullmatch(part)]
    return parts[1] if len(parts) > 1 else UNKNOWN_COUNTRY
