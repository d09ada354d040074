"""Describe where an incident is: a country, its regions and networks, or a part."""

from collections.abc import Sequence

from heliograph_collector.http import i18n, labels
from heliograph_collector.http.i18n import Locale
from heliograph_collector.incidents.published.incident import (
    CellScope,
    IncidentSummary,
    PartDocument,
)

MAX_NAMED = 3  # names in a sentence
_EXTENDED = ("network_silence", "power")  # shares of a block of us are published coarsely
_NETWORKS = ("mobile", "fixed", "hosting")
_WHOLE_SHARE = 0.9  # of the votes: by satellite or from a whitelist a few live on; assumed
_MOST_SHARE = 0.6  # as a cut is confirmed by


def describe_extent(incident: IncidentSummary, t: Locale) -> str:
    """Describe an incident's place, and if a silence covers only a part of it."""
    place_text = describe_place(incident.parts, incident.scope, t)
    shares = [part.share for part in incident.parts if part.share > 0.0]  # 0: not published
    if incident.kind not in _EXTENDED or not shares or min(shares) >= _WHOLE_SHARE:
        return place_text
    key = "story.most_of" if min(shares) >= _MOST_SHARE else "story.part_of"
    are_networks = all(part.access and not part.asn for part in incident.parts)  # named in plural
    return t(f"{key}_the" if are_networks else key, place=place_text)


def describe_place(
    parts: Sequence[PartDocument],
    scope: CellScope,
    t: Locale,
    *,
    is_country_stated: bool = False,
) -> str:
    """Describe a place as "mobile networks and AS9198 in Kazakhstan".

    Others are "Kazakhstan" or "Almaty, Kazakhstan". Parts of regions come first, so that no region
    seems to be that of the parts before it. A country that the sentence before states is omitted
    beside its parts.
    """
    country = labels.country_name(scope.country, t.lang)
    cells: Sequence[CellScope] = parts or [scope]
    names = [describe_cell(cell, t) for cell in sorted(cells, key=lambda cell: not cell.region)]
    if not all(names):
        place_text = country
    elif is_country_stated:
        place_text = _join_names(names, t)
    else:
        inside = all(cell.region for cell in cells)
        key = "story.in_region" if inside else "story.in_country"
        place_text = t(key, names=_join_names(names, t), country=country)
    spared_cells = [describe_spared(part, other, t) for part in parts for other in part.spared]
    return (
        t("story.except", place=place_text, names=_join_names(spared_cells, t))
        if any(spared_cells)
        else place_text
    )


def describe_spared(part: CellScope, other: CellScope, t: Locale) -> str:
    """Describe a cell inside another, without the fields that both share."""
    rest = CellScope(
        country=other.country,
        region="" if other.region == part.region else other.region,
        asn=0 if other.asn == part.asn else other.asn,
        access="" if other.access == part.access else other.access,
    )
    return describe_cell(rest, t)


def describe_cell(scope: CellScope, t: Locale) -> str:
    """Describe a cell inside its country; "" for the whole country."""
    region = labels.region_name(scope.region, t.lang) if scope.region else ""
    network_text = describe_network(scope.asn, scope.access, t)
    return (
        t("story.who_in_region", who=network_text, region=region)
        if network_text and region
        else network_text or region
    )


def describe_network(asn: int, access: str, t: Locale) -> str:
    """Describe a network as "AS9198 fixed" or "mobile networks"; "" for all."""
    if asn and access:
        return t("story.network", asn=f"AS{asn}", access=labels.access_name(access, t.lang))
    if asn:
        return f"AS{asn}"
    return t(f"story.{access}") if access in _NETWORKS else access


def _join_names(names: Sequence[str], t: Locale) -> str:
    listed_names = list(names[:MAX_NAMED])
    if len(names) > MAX_NAMED:
        listed_names.append(t("story.more", n=len(names) - MAX_NAMED))
    return i18n.join_names(t.lang, listed_names)
