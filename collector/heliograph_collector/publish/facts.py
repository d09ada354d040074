"""What the page of an incident lists: facts, parts, what was said, and what it stands on. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from heliograph_collector.publish import bands, story, words
from heliograph_collector.publish.incidents import Json
from heliograph_collector.web import tongues
from heliograph_collector.web.tongues import Tongue

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
        ("where", story.where(incident["parts"], incident["scope"], t)),
        ("what", incident["title"] or t("incident.all_traffic")),
        ("began", story.between(incident["started"], t=t)),
        ("ended", _ended(incident, t)),
        ("how", _how(incident, t)),
        ("suspected", story.at(incident["suspected"], t)),
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
    plain = f" \N{EM DASH} {t(key)}" if tongues.has(t.lang, key) else ""
    return story.led(how, t) + plain


def _sure(incident: Json, t: Tongue) -> str:
    """Nothing is sure of what was withdrawn, whatever was thought of it before."""
    return "" if incident["state"] == "withdrawn" else story.sure(incident, t)


def in_short(incident: Json, t: Tongue) -> list[tuple[str, str]]:
    """What stands beside a picture that has little to show: how sure it is, and what is not."""
    against = [words.word("held", word, t.lang) for word in incident["held"]]
    told = [
        ("how_sure", _sure(incident, t)),
        ("against", against[0] if against else ""),
        ("suspected", story.at(incident["suspected"], t)),
    ]
    return [(t(f"incident.{name}"), value) for name, value in told if value]


def _confirmed(incident: Json, t: Tongue) -> str:
    """By whom, and when. The operator's word and the detector's are told apart."""
    own = story.at(incident["confirmed"], t) if incident["confirmed"] else t("incident.not_yet")
    if "operator" not in incident["confirmed_by"]:
        return own
    when = story.at(incident["operator"]["confirmed"]["at"], t)
    return t("incident.confirmed_by", when=when, own=own)


def _ended(incident: Json, t: Tongue) -> str:
    if incident["ended"]:
        return story.between(incident["ended"], t=t)
    if incident["state"] == "withdrawn":
        return t("incident.withdrawn")
    return t("incident.not_known" if incident["state"] == "closed" else "incident.not_yet")


def part(one: Json, country: str, t: Tongue) -> dict[str, Any]:
    spared = [story.spared_in(one, other, t) for other in one["except"]]
    return {
        "place": story.cell(one, t) or t("incident.all_of", country=words.country(country, t.lang)),
        "votes": tongues.band(t.lang, one["votes"]),
        "share": tongues.percent(t.lang, one["share"]),
        "networks": tongues.number(t.lang, one["networks"]),
        "spared": tongues.listed(t.lang, spared),
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
                at=story.at(alert["at"], t),
                change=change,
                sentence="" if same or then is None else story.sentence(then, t),
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
    since, until = (story.moment(window[name]) for name in ("since", "until"))
    return {
        "entry": evidence["entry"],
        "hash": evidence["hash"],
        "rows": f"{evidence['rows']['first']}\N{EN DASH}{evidence['rows']['last']}",
        "window": f"{since:%Y-%m-%d %H:%M:%S}\N{EN DASH}{until:%H:%M:%S}",
        "versions": ", ".join(f"{n} {v[:12]}" for n, v in evidence["versions"].items()),
    }


def least(count: int, k: int, t: Tongue) -> str:
    """The band of which the timeline told the least number; exact where nobody asked for bands."""
    return tongues.band(t.lang, str(count) if k <= 1 else _band(count, k))


def _band(count: int, k: int) -> str:
    return "0" if count == 0 else bands.band(count, k)
