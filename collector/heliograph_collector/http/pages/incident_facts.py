"""What the page of an incident lists: facts, parts, what was said, and what it stands on. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from heliograph_collector.http import anonymity, i18n, labels
from heliograph_collector.http import labels as words
from heliograph_collector.http.i18n import Tongue
from heliograph_collector.http.incident_document import Json
from heliograph_collector.http.pages import incident_text

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
    signal = labels.word("outside", f"signal_{one['signal']}", t.lang) if one.get("signal") else ""
    url = str(one.get("url", ""))
    return Word(
        what=what,
        verdict=labels.word("outside", what, t.lang),
        source=_NAMES.get(source, source),
        signal=signal,
        about=_about(one.get("entity", {}), t),
        why=labels.word("outside", f"why_{one['why']}", t.lang) if one.get("why") else "",
        figures=_figures(one.get("figures", {}), t),
        at=incident_text.at(one["said"], t) if one.get("said") else "",
        url=url if url.startswith("https://") else "",
        attribution=str(one.get("attribution", "")),
    )


def _about(entity: Json, t: Tongue) -> str:
    place = f"AS{entity['asn']}" if entity.get("asn") else entity.get("country", "")
    if place and not entity.get("asn"):
        place = labels.country(place, t.lang)
    return t("outside.about", place=place) if place else ""


def _figures(figures: Json, t: Tongue) -> str:
    if "during" not in figures or "before" not in figures:
        return ""
    during, before = (i18n.percent(t.lang, figures[name]) for name in ("during", "before"))
    return t("outside.figures", during=during, before=before)


_NEWS = ("parts", "started", "ended", "turns", "layer", "method", "confidence", "hints", "held")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One entry of the log."""

    entry: int
    at: str
    change: str
    sentence: str  # "" when it is the one before it
    called: bool
    words: str = ""  # an operator's own


def known(incident: Json, t: Tongue) -> list[tuple[str, str]]:
    """Names and values, in the order a reader asks."""
    told = [
        ("where", incident_text.where(incident["parts"], incident["scope"], t)),
        ("what", incident["title"] or t("incident.all_traffic")),
        ("began", incident_text.between(incident["started"], t=t)),
        ("ended", _ended(incident, t)),
        ("how", _how(incident, t)),
        ("suspected", incident_text.at(incident["suspected"], t)),
        ("confirmed", _confirmed(incident, t)),
        ("how_sure", _sure(incident, t)),
    ]
    return [(t(f"incident.{name}"), value) for name, value in told if value]


def _how(incident: Json, t: Tongue) -> str:
    """In the words of the trade, and then in those of everybody."""
    how = words.how(incident["layer"], incident["method"], t.lang)
    if not how:
        return ""
    key = f"plainly.{incident['layer']}"
    plain = f" \N{EM DASH} {t(key)}" if i18n.has(t.lang, key) else ""
    return incident_text.led(how, t) + plain


def _sure(incident: Json, t: Tongue) -> str:
    """Nothing is sure of what was withdrawn, whatever was thought of it before."""
    return "" if incident["state"] == "withdrawn" else incident_text.sure(incident, t)


def in_short(incident: Json, t: Tongue) -> list[tuple[str, str]]:
    """What stands beside a picture that has little to show: how sure it is, and what is not."""
    against = [words.word("held", word, t.lang) for word in incident["held"]]
    told = [
        ("how_sure", _sure(incident, t)),
        ("against", against[0] if against else ""),
        ("suspected", incident_text.at(incident["suspected"], t)),
    ]
    return [(t(f"incident.{name}"), value) for name, value in told if value]


def _confirmed(incident: Json, t: Tongue) -> str:
    """By whom, and when. The operator's word and the detector's are told apart."""
    own = (
        incident_text.at(incident["confirmed"], t)
        if incident["confirmed"]
        else t("incident.not_yet")
    )
    if "operator" not in incident["confirmed_by"]:
        return own
    when = incident_text.at(incident["operator"]["confirmed"]["at"], t)
    return t("incident.confirmed_by", when=when, own=own)


def _ended(incident: Json, t: Tongue) -> str:
    if incident["ended"]:
        return incident_text.between(incident["ended"], t=t)
    if incident["state"] == "withdrawn":
        return t("incident.withdrawn")
    return t("incident.not_known" if incident["state"] == "closed" else "incident.not_yet")


def part(one: Json, country: str, t: Tongue) -> dict[str, Any]:
    spared = [incident_text.spared_in(one, other, t) for other in one["except"]]
    return {
        "place": incident_text.cell(one, t)
        or t("incident.all_of", country=words.country(country, t.lang)),
        "votes": i18n.band(t.lang, one["votes"]),
        "share": i18n.percent(t.lang, one["share"]),
        "networks": i18n.number(t.lang, one["networks"]),
        "spared": i18n.listed(t.lang, spared),
    }


def said(history: Sequence[tuple[Json, Json | None]], t: Tongue) -> list[Said]:
    """What was said when; a sentence only where it is another than before."""
    told: list[Said] = []
    before: Json | None = None
    for alert, then in history:
        change = words.word("change", alert["change"], t.lang)
        news = _news(before, then, t)
        if alert["change"] == "revised" and news:
            change = t("incident.revised", change=change, news=news)
        same = before is not None and then is not None and before["sentence"] == then["sentence"]
        told.append(
            Said(
                entry=alert["entry"],
                at=incident_text.at(alert["at"], t),
                change=change,
                sentence="" if same or then is None else incident_text.sentence(then, t),
                called=alert["called"],
                words=_quoted(alert),
            )
        )
        before = then
    return told


def _quoted(alert: Json) -> str:
    """What an operator wrote, and the name if one was chosen."""
    by = f" ({alert['name']})" if alert["name"] else ""
    return f"“{alert['text']}”{by}" if alert["text"] else by.strip()


def _news(before: Json | None, then: Json | None, t: Tongue) -> str:
    """What a revision changed."""
    if before is None or then is None:
        return ""
    changed = [t(f"incident.news_{name}") for name in _NEWS if before[name] != then[name]]
    return t("list.comma").join(changed)


def grounds(evidence: Json) -> dict[str, Any]:
    """What one entry was computed from."""
    window = evidence["window"]
    since, until = (incident_text.moment(window[name]) for name in ("since", "until"))
    return {
        "entry": evidence["entry"],
        "hash": evidence["hash"],
        "rows": f"{evidence['rows']['first']}\N{EN DASH}{evidence['rows']['last']}",
        "window": f"{since:%Y-%m-%d %H:%M:%S}\N{EN DASH}{until:%H:%M:%S}",
        "versions": ", ".join(f"{n} {v[:12]}" for n, v in evidence["versions"].items()),
    }


def least(count: int, k: int, t: Tongue) -> str:
    """The band of which the timeline told the least number; exact where nobody asked for bands."""
    return i18n.band(t.lang, str(count) if k <= 1 else _band(count, k))


def _band(count: int, k: int) -> str:
    return "0" if count == 0 else anonymity.band(count, k)
