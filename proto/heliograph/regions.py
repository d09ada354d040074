"""Look up countries by ISO 3166-1 and their regions by ISO 3166-2, and refuse free text.

find_region("KZ", "kz-75") == "KZ-75"
find_region("KZ", "KZ-ALA") == "KZ-75"  # a former code
find_region("KZ", "LOL") == ""
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

MAX_CODE = 6  # characters of the longest, such as KZ-ALA
# The countries of ISO 3166-1 without a code in ISO 3166-2; and Kosovo, whose code is a user's own.
_WITHOUT_REGIONS = frozenset({
    "AI", "AQ", "AS", "AW", "AX", "BL", "BM", "BV", "CC", "CK", "CW", "CX", "EH", "FK", "FO", "GF",
    "GG", "GI", "GP", "GS", "GU", "HK", "HM", "IM", "IO", "JE", "KY", "MF", "MO", "MP", "MQ", "MS",
    "NC", "NF", "NU", "PF", "PM", "PN", "PR", "RE", "SJ", "SX", "TC", "TF", "TK", "VA", "VG", "VI",
    "XK", "YT",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class _RegionTable:
    codes: Mapping[str, Sequence[str]]  # by country
    canonical_codes: Mapping[str, str]  # present and former codes → present codes


def find_region(country: str, claim: str) -> str:
    """Return the present code of the region that `claim` names, "" for none.

    Args:
        claim: A present or former code in any case, with its country or without.
    """
    return _find_code(country, claim) if 0 < len(claim) <= MAX_CODE else ""


def is_country(code: str) -> bool:
    """Return whether a code in capitals is a country's: others would be counted nowhere."""
    return code in _load_table().codes or code in _WITHOUT_REGIONS


def list_regions(country: str) -> Sequence[str]:
    """List the codes of a country's regions, none for an unknown country."""
    return _load_table().codes.get(country, ())


@lru_cache(maxsize=16_384)  # above the number of codes, each with its country and without
def _find_code(country: str, claim: str) -> str:
    code = claim.upper()
    if not code.startswith(f"{country}-"):
        code = f"{country}-{code}"
    return _load_table().canonical_codes.get(code, "")


@cache
def _load_table() -> _RegionTable:
    content = files(__package__).joinpath("regions.tab").read_text("ascii")
    rows = [line.split() for line in content.splitlines() if not line.startswith("#")]
    codes = {
        country: tuple(f"{country}-{part}" for part in parts)
        for country, *parts in rows
        if "-" not in country
    }
    canonical_codes = {code: code for country in codes.values() for code in country}
    canonical_codes.update({code: successors[0] for code, *successors in rows if "-" in code})
    return _RegionTable(codes, canonical_codes)
