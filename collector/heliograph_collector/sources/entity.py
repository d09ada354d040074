"""Scope of a series: a country, a region of it, or a network; "ZZ" is unknown."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
from babel.core import get_global

from heliograph_collector.model.scope import Scope
from heliograph_collector.sources.typed_reader import Text256

UNKNOWN_COUNTRY = "ZZ"
_COUNTRY = re.compile(r"[A-Z]{2}")
_CAPITALS = re.compile(r"(?<![A-Za-z])([A-Z]{2})(?![A-Za-z])")
_NETWORK_NAME = re.compile(r"(?<![^\W_])AS(\d{1,10})(?!\d)", re.IGNORECASE)
_NETWORK = re.compile(r"(?:AS)?(\d{1,10})", re.IGNORECASE)


_WORDS = re.compile(r"[^\W\d_]+")
_COUNTRIES = (
    "entitycode", "entity_code", "country", "country_code", "countrycode", "country code", "cc",
    "probe_cc", "location", "iso2", "iso", "alpha2", "clientcountryalpha2", "iso3", "iso_code",
    "alpha3", "country_iso", "country_iso_three_char_code", "country_name", "countryname",
)  # fmt: skip
_REGIONS = ("region", "province", "state", "name_1", "adm1_name", "admin1", "city")
_NETWORKS = ("asn", "probe_asn", "clientasn")
_KINDS = ("entitytype", "entity_type")  # IODA's, which tells what a code is of
_FQIDS = ("entityfqid", "entity_fqid")
_NAMES = ("entityname", "entity_name")


@dataclass(frozen=True, slots=True)
class CountryNames:
    """Codes of countries by their names in lower case."""

    codes: Mapping[str, str] = field(default_factory=dict)

    def find_exactly(self, text: str) -> str:
        """Return the code that a text is, or whose name it is; "" if it is neither."""
        text = text.strip()
        if len(text) == 3 and text.isupper():
            aliases = get_global("territory_aliases").get(text, ())  # ISO 3166-1 alpha-3, by CLDR
            return aliases[0] if len(aliases) == 1 and self._is_code(aliases[0]) else ""
        is_code = text.upper() in self.codes.values() and len(text) == 2 and text.isupper()
        return text if is_code else self.codes.get(" ".join(_split_words(text)), "")

    def guess(self, stem: str) -> Scope:
        """Return the place that a file's name contains.

        A country is two capitals, or else a name, or all of the file's name: `ir`. A network is a
        number after AS.
        """
        network = _NETWORK_NAME.search(stem)
        stem = _NETWORK_NAME.sub("", stem)
        return Scope(self._guess_country(stem), asn=int(network[1]) % 2**32 if network else 0)

    def _guess_country(self, stem: str) -> str:
        capitals: set[str] = {code for code in _CAPITALS.findall(stem) if self._is_code(code)}
        if len(capitals) == 1:
            return capitals.pop()
        if _COUNTRY.fullmatch(stem.upper()) and self._is_code(stem.upper()):
            return stem.upper()
        words = _split_words(stem)
        spans = ((i, j) for i in range(len(words)) for j in range(i + 1, len(words) + 1))
        names = sorted((" ".join(words[i:j]) for i, j in spans), key=len, reverse=True)
        return next((self.codes[name] for name in names if name in self.codes), UNKNOWN_COUNTRY)

    def _is_code(self, code: str) -> bool:
        return not self.codes or code in self.codes.values()


@dataclass(frozen=True, slots=True)
class RowPlaces:
    """The columns of a table that name the place of each row."""

    countries: CountryNames
    country: int | None = None
    region: int | None = None
    network: int | None = None
    kind: int | None = None
    name: int | None = None
    fqid: int | None = None

    @classmethod
    def from_header(cls, lower_names: Sequence[str], countries: CountryNames) -> "RowPlaces":
        last_parts = [name.rpartition(".")[2] for name in lower_names]  # client.Geo.CountryCode

        def find(names: Sequence[str]) -> int | None:
            return next((last_parts.index(name) for name in names if name in last_parts), None)

        places = (find(_COUNTRIES), find(_REGIONS), find(_NETWORKS))
        return cls(countries, *places, find(_KINDS), find(_NAMES), find(_FQIDS))

    @property
    def columns(self) -> list[int]:
        own = (self.country, self.region, self.network, self.kind, self.name, self.fqid)
        return [column for column in own if column is not None]

    def read(self, row: Sequence[str], otherwise: Scope) -> Scope:
        """Return the place of a row.

        Args:
            otherwise: Where a row is that names no place, or no country.

        Raises:
            ValueError: It names a country that is none, such as a continent.
        """
        country = _get_cell(row, self.country)
        if country and (kind := _get_cell(row, self.kind)):
            name = _get_cell(row, self.name)
            place = parse_ioda_scope(IodaEntity(kind, country, name, _get_cell(row, self.fqid)))
            is_known = place.country != UNKNOWN_COUNTRY
            return place if is_known else place._replace(country=otherwise.country)
        network = _NETWORK.fullmatch(_get_cell(row, self.network))
        region = _get_cell(row, self.region)
        code = country.upper() if _COUNTRY.fullmatch(country.upper()) else ""
        code = code or self.countries.find_exactly(country)
        if country and not code and not network:
            return parse_entity(country)
        if not (code or network or region):
            return otherwise
        asn = int(network[1]) % 2**32 if network else 0
        return Scope(code or otherwise.country, region=region[:64], asn=asn)


def _get_cell(row: Sequence[str], column: int | None) -> str:
    return row[column].strip() if column is not None and column < len(row) else ""


def _split_words(text: str) -> list[str]:
    return _WORDS.findall(text.lower())


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


def parse_ioda_scope(entity: IodaEntity) -> Scope:
    """Convert an IODA entity.

    A region's code is a number, so the fqid names its country.
    """
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
