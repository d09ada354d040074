"""What sources outside say beside an incident, in words. It is theirs, and decides nothing."""

from collections.abc import Iterable
from dataclasses import dataclass

from heliograph_collector.publish import story, words
from heliograph_collector.publish.incidents import Json
from heliograph_collector.web import tongues
from heliograph_collector.web.tongues import Tongue

_NAMES = {"ris": "RIPE RIS (BGP)", "ioda": "IODA", "radar": "Cloudflare Radar"}
_MAX = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    what: str  # class name
    verdict: str
    source: str
    signal: str
    about: str
    why: str
    figures: str
    at: str
    url: str
    attribution: str


def told(annotations: Iterable[Json], t: Tongue) -> list[Word]:
    """The newest first."""
    newest = sorted(annotations, key=lambda one: str(one.get("said", "")), reverse=True)
    return [_word(one, t) for one in newest[:_MAX]]


def _word(one: Json, t: Tongue) -> Word:
    source, what = str(one.get("source", "")), str(one.get("what", ""))
    signal = words.word("outside", f"signal_{one['signal']}", t.lang) if one.get("signal") else ""
    url = str(one.get("url", ""))
    return Word(
        what=what,
        verdict=words.word("outside", what, t.lang),
        source=_NAMES.get(source, source),
        signal=signal,
        about=_about(one.get("entity", {}), t),
        why=words.word("outside", f"why_{one['why']}", t.lang) if one.get("why") else "",
        figures=_figures(one.get("figures", {}), t),
        at=story.at(one["said"], t) if one.get("said") else "",
        url=url if url.startswith("https://") else "",
        attribution=str(one.get("attribution", "")),
    )


def _about(entity: Json, t: Tongue) -> str:
    place = f"AS{entity['asn']}" if entity.get("asn") else entity.get("country", "")
    if place and not entity.get("asn"):
        place = words.country(place, t.lang)
    return t("outside.about", place=place) if place else ""


def _figures(figures: Json, t: Tongue) -> str:
    if "during" not in figures or "before" not in figures:
        return ""
    during, before = (tongues.percent(t.lang, figures[name]) for name in ("during", "before"))
    return t("outside.figures", during=during, before=before)
