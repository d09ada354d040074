"""The state of the world in plain sentences, in the reader's language."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from heliograph.observation import Link
from heliograph_collector.http import i18n, labels
from heliograph_collector.http.anonymity import band
from heliograph_collector.http.i18n import Tongue
from heliograph_collector.http.snapshot import Bracket, Column, Group, Reading, Snapshot
from heliograph_collector.model.records import State

DASH = "\N{EN DASH}"
ENGLISH = Tongue()
_NETWORKS = ("mobile", "fixed", "hosting")
_NAMED = 3  # services in one sentence


def dashed(text: str) -> str:
    """Ranges as a printer sets them."""
    return text.replace("-", DASH)


def clock(us: int, t: Tongue = ENGLISH) -> str:
    """ "13:05" """
    return i18n.clock(t.lang, datetime.fromtimestamp(us // 1_000_000, UTC))


def place(group: Group, t: Tongue = ENGLISH) -> str:
    """ "Kazakhstan, AS9198 fixed"; "Kazakhstan, a fixed network" when its number is not known."""
    country = labels.country(group.country, t.lang)
    if not group.asn and group.access in _NETWORKS:
        return t("place.inside", country=country, network=t(f"place.a_{group.access}"))
    if not group.asn and group.country == "ZZ":
        return country
    network = labels.network(group.asn, group.access, t.lang)
    if group.access in ("", "unknown"):
        return t("place.inside", country=country, network=network)
    access = labels.access(group.access, t.lang)
    return t("place.inside_access", country=country, network=network, access=access)


def inside(group: Group, t: Tongue = ENGLISH) -> str:
    """ "AS9198 fixed", where the country is told beside it."""
    if not group.asn and group.access in _NETWORKS:
        return t(f"place.a_{group.access}")
    network = labels.network(group.asn, group.access, t.lang)
    if group.access in ("", "unknown"):
        return network
    access = labels.access(group.access, t.lang)
    return t("place.network_access", network=network, access=access)


def since(bracket: Bracket | None, t: Tongue = ENGLISH) -> str:
    """The bracket; "before" when the beginning lies before all we look at."""
    if bracket is None:
        return ""
    high = clock(bracket.latest_us, t)
    if bracket.earliest_us is not None:
        return t("now.since", low=clock(bracket.earliest_us, t), high=high)
    return t("now.since_before", high=high)


def of_group(column: Column, snapshot: Snapshot, t: Tongue = ENGLISH, where: str = "") -> str:
    """One network: its link, then what is wrong, then how much is right."""
    where = where or place(column.group, t)
    if column.link is Link.OFFLINE:
        return t("now.offline", place=where)
    parts = []
    if column.link is not Link.UNKNOWN:
        parts.append(labels.word("link", column.link.value, t.lang))
    parts += [told for told in [silent(column, snapshot.k, t)] if told]
    parts += _troubles(column, dict(snapshot.services), t) + _rest(column, t)
    return t("now.group", place=where, parts=t("now.semicolon").join(parts))


def silent(column: Column, k: int, t: Tongue = ENGLISH) -> str:
    """How many fell silent lately; "" for nobody, and for too few to be told."""
    if column.silent < max(k, 1):
        return ""
    return t("now.silent", n=column.silent, count=i18n.band(t.lang, band(column.silent, k)))


def _troubles(column: Column, titles: Mapping[str, str], t: Tongue) -> list[str]:
    told = []
    for state in (State.BLOCKED, State.DOWN):
        for service, reading in column.readings.items():
            if reading.state is state:
                told.append(_trouble(titles[service], reading, t))
    return told


def _trouble(title: str, reading: Reading, t: Tongue) -> str:
    cell, state = reading.cell, reading.state
    layer = labels.LAYERS.get(cell.layer, "") if cell else ""
    how = t("now.layer", layer=layer) if layer else ""
    if state is State.DOWN:
        how = t("now.everybody")
    word = labels.word("state", state.value, t.lang) if state else ""
    told = (t("now.trouble", service=title, state=word), how, since(reading.since, t))
    return " ".join(part for part in told if part)


def _rest(column: Column, t: Tongue) -> list[str]:
    states = [reading.state for reading in column.readings.values()]
    good, unknown, missing = (states.count(s) for s in (State.REACHABLE, State.UNKNOWN, None))
    troubled = len(states) - good - unknown - missing
    told = []
    if good:
        whole = good + troubled == len(states) and troubled
        told.append(t("now.rest") if whole else t("now.reachable", n=good))
    if unknown:
        told.append(t("now.unknown", n=unknown))
    return told or ([] if troubled else [t("now.unmeasured")])


def headline(snapshot: Snapshot, t: Tongue = ENGLISH) -> str:
    """What all networks that are shown come to."""
    columns = snapshot.columns
    if not columns:
        return t("now.none")
    if len(columns) == 1:
        return of_group(columns[0], snapshot, t)
    told = troubles(columns, snapshot.services, t)
    if told:
        text = t("now.semicolon").join(told)
        return f"{text[0].upper()}{text[1:]}."
    if judged(columns):
        return t("now.fine", n=len(columns))
    return t("now.unjudged", n=len(columns))


def judged(columns: Sequence[Column]) -> bool:
    """Whether anything is known to be reachable."""
    return any(r.state is State.REACHABLE for c in columns for r in c.readings.values())


def troubles(
    columns: Sequence[Column], services: Sequence[tuple[str, str]], t: Tongue = ENGLISH
) -> list[str]:
    """What is blocked in how many of these networks, and which are cut off."""
    return [*_blocked(columns, services, t), *_links(columns, t)]


def _blocked(
    columns: Sequence[Column], services: Sequence[tuple[str, str]], t: Tongue
) -> list[str]:
    counts = {
        title: sum(c.readings[service].state is State.BLOCKED for c in columns)
        for service, title in services
    }
    worst = sorted((item for item in counts.items() if item[1]), key=lambda item: -item[1])
    if not worst:
        return []
    (title, n), *rest = worst
    told = [t("now.blocked", service=title, n=n, total=len(columns))]
    told += [t("now.and_in", service=title, n=n) for title, n in rest[: _NAMED - 1]]
    if len(worst) > _NAMED:
        told.append(t("now.more", n=len(worst) - _NAMED))
    return [t("list.comma").join(told)]


def _links(columns: Sequence[Column], t: Tongue) -> list[str]:
    told = []
    for link, key in ((Link.OFFLINE, "offline"), (Link.DOMESTIC_ONLY, "cut_off")):
        n = sum(c.link is link for c in columns)
        if n:
            told.append(t(f"now.are_{key}", n=n))
    return told


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Incidents that are open: the country of each, and the first one, confirmed before
    suspected, in a sentence."""

    confirmed: Sequence[str] = ()
    suspected: Sequence[str] = ()
    first: str = ""


def world(snapshot: Snapshot, open_: Open, watched: bool, t: Tongue = ENGLISH) -> tuple[str, str]:
    """(the headline, what stands under it or ""): what is confirmed comes before all else.

    `watched`: a detector is at work, so that none means none.
    """
    now = headline(snapshot, t)
    troubled = bool(troubles(snapshot.columns, snapshot.services, t))
    # That no blocking is seen is no word to stand under a silence.
    below = now if judged(snapshot.columns) and troubled else ""
    if len(open_.confirmed) == 1:
        return open_.first, below
    if open_.confirmed:
        places = _places(open_.confirmed, t)
        return t("front.confirmed", n=len(open_.confirmed), places=places), below
    if open_.suspected:
        places = _places(open_.suspected, t)
        return t("front.suspected", n=len(open_.suspected), places=places), below
    if not watched or len(snapshot.columns) < 2 or not judged(snapshot.columns):
        return now, ""
    countries = len({column.group.country for column in snapshot.columns})
    calm = t(
        "front.calm",
        networks=t("front.in_networks", n=len(snapshot.columns)),
        countries=t("front.in_countries", n=countries),
    )
    return calm, now if troubled else ""


def _places(codes: Sequence[str], t: Tongue) -> str:
    names = [labels.country(code, t.lang) for code in dict.fromkeys(codes)]
    told = names[:_NAMED]
    if len(names) > _NAMED:
        told.append(t("front.more_places", n=len(names) - _NAMED))
    return i18n.listed(t.lang, told)
