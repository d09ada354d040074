"""An incident in plain sentences, from what the feed may say of it and nothing else.

The API tells them in English; pages in the reader's language, from the catalogues.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from heliograph_collector.http import i18n, labels, regions
from heliograph_collector.http.i18n import Tongue

Json = Mapping[str, Any]
ENGLISH = Tongue()
_NETWORKS = ("mobile", "fixed", "hosting")
_NOWHERE = {"country": "", "region": "", "asn": 0, "access": ""}
_NAMED = 3  # so many cells are named in a sentence
_FINE_S = 300  # a shorter bracket is told to the second


def sentence(incident: Json, t: Tongue = ENGLISH) -> str:
    """What happened where, when and how surely, in one sentence; times are brackets in UTC."""
    text = _plain(incident, t)
    if incident["state"] == "withdrawn":
        by_operator = incident.get("withdrawn_by") == "operator"
        key = "story.withdrawn_by_operator" if by_operator else "story.withdrawn"
        return t(key, text=text)
    if incident["confirmed"] is None:
        by_operator = "operator" in incident.get("confirmed_by", ())
        return t("story.by_operator" if by_operator else "story.not_confirmed", text=text)
    return text[0].upper() + text[1:]


def _plain(incident: Json, t: Tongue) -> str:
    told = {
        "place": where(incident["parts"], incident["scope"], t),
        "began": between(incident["started"], t=t),
        "ended": _ending(incident, t),
    }
    if incident["kind"] == "network_silence":
        return t("story.silence", **told)
    how = labels.how(incident["layer"], incident["method"], t.lang)
    on = all(part["asn"] or part["access"] for part in incident["parts"])
    return t(
        "story.blocking_on" if on else "story.blocking_in",
        what=labels.word("kind", incident["kind"], t.lang),
        title=incident["title"],
        how=t("story.how", how=led(how, t)) if how else "",
        **told,
    )


def led(text: str, t: Tongue) -> str:
    """Led by a mark where it begins with a foreign name in a language from the right."""
    return f"\u200f{text}" if t.direction == "rtl" else text


def _ending(incident: Json, t: Tongue) -> str:
    silence = incident["kind"] == "network_silence"
    if incident["ended"]:
        day = ends(incident["started"])[1].date()
        when = between(incident["ended"], day, t)
        return t("story.came_back" if silence else "story.over", when=when)
    if incident["state"] in ("suspected", "confirmed"):
        return t("story.no_return" if silence else "story.goes_on")
    return ""


def where(parts: Sequence[Json], scope: Json, t: Tongue = ENGLISH) -> str:
    """ "Kazakhstan", "mobile networks and AS9198 in Kazakhstan", "Almaty, Kazakhstan"."""
    country = labels.country(scope["country"], t.lang)
    names = [cell(part, t) for part in parts or [scope]]
    if not all(names):
        place = country
    else:
        inside = any(part["region"] for part in parts or [scope])
        key = "story.in_region" if inside else "story.in_country"
        place = t(key, names=_listed(names, t), country=country)
    spared = [spared_in(part, other, t) for part in parts for other in part["except"]]
    return t("story.except", place=place, names=_listed(spared, t)) if any(spared) else place


def spared_in(part: Json, other: Json, t: Tongue = ENGLISH) -> str:
    """A cell inside another, without what both are called by."""
    both = [name for name in ("region", "asn", "access") if part[name] == other[name]]
    return cell({**other, **{name: _NOWHERE[name] for name in both}}, t)


def cell(scope: Json, t: Tongue = ENGLISH) -> str:
    """A cell inside its country; "" for the whole of it."""
    region = regions.name(str(scope["region"]), t.lang) if scope["region"] else ""
    who = network(scope["asn"], str(scope["access"]), t)
    return t("story.who_in_region", who=who, region=region) if who and region else who or region


def network(asn: int, access: str, t: Tongue = ENGLISH) -> str:
    """ "AS9198 fixed", "mobile networks"; "" for all of them."""
    if asn and access:
        return t("story.network", asn=f"AS{asn}", access=labels.access(access, t.lang))
    if asn:
        return f"AS{asn}"
    return t(f"story.{access}") if access in _NETWORKS else access


def _listed(names: Sequence[str], t: Tongue) -> str:
    told = list(names[:_NAMED])
    if len(names) > _NAMED:
        told.append(t("story.more", n=len(names) - _NAMED))
    return i18n.listed(t.lang, told)


def between(bracket: Json, told: object = None, t: Tongue = ENGLISH) -> str:
    """ "between 10:03 and 10:05 UTC on 5 January 2022"; without the day when it is `told`."""
    low, high, fine = ends(bracket)
    first, last = (i18n.clock(t.lang, when, seconds=fine) for when in (low, high))
    if low == high:
        return t("story.at", time=first, day=_on(low, told, t))
    if low.date() == high.date():
        return t("story.between", low=first, high=last, day=_on(low, told, t))
    days = {"low_day": _on(low, told, t), "high_day": _on(high, None, t)}
    return t("story.between_days", low=first, high=last, **days)


def ends(bracket: Json) -> tuple[datetime, datetime, bool]:
    """(earliest, latest, whether to the second); told in minutes it only gets wider."""
    low, high = moment(bracket["earliest"]), moment(bracket["latest"])
    if (high - low).total_seconds() < _FINE_S:
        return low, high, True
    return low.replace(second=0, microsecond=0), up_to_minute(high), False


def up_to_minute(when: datetime) -> datetime:
    whole = when.replace(second=0, microsecond=0)
    return whole if whole == when else whole + timedelta(minutes=1)


def at(text: str, t: Tongue = ENGLISH) -> str:
    """ "10:03:20 UTC on 5 January 2022" """
    when = moment(text)
    clock = i18n.clock(t.lang, when, seconds=True)
    return t("story.moment", time=clock, day=i18n.day(t.lang, when))


def turn(one: Json, country: str, t: Tongue = ENGLISH) -> str:
    """A part came back, or went dark again."""
    place = where(one["parts"], {**_NOWHERE, "country": country}, t)
    key = "story.opening" if one["way"] == "opening" else "story.cut"
    text = t(key, place=place, when=between(one["when"], t=t))
    return text[0].upper() + text[1:]


def sure(incident: Json, t: Tongue = ENGLISH) -> str:
    """How sure it is, and by whose votes."""
    parts, value = incident["parts"], float(f"{incident['confidence']:g}")
    word = labels.sure(incident["confidence"], t.lang)
    told = t("story.sure", word=word, value=int(value) if value == int(value) else value)
    for part in parts[:1]:
        told = t(
            "story.sure_by",
            sure=told,
            votes=i18n.band(t.lang, part["votes"]),
            n=part["networks"],
            share=_most(part["share"], t),
            hit=t("story.silent" if incident["kind"] == "network_silence" else "story.failing"),
        )
    return t("story.more_places", text=told, n=len(parts) - 1) if len(parts) > 1 else told


def _most(share: float, t: Tongue) -> str:
    return t("story.all") if share >= 1 else t("story.at_least", share=i18n.percent(t.lang, share))


def _on(when: datetime, told: object, t: Tongue) -> str:
    return "" if when.date() == told else t("story.on_day", day=i18n.day(t.lang, when))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
