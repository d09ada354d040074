"""Incidents for people: a line each on the front page, and a page of its own for each one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heliograph_collector.publish import course, story, words
from heliograph_collector.publish.frame import environment
from heliograph_collector.publish.incidents import OPEN, Json
from heliograph_collector.publish.query import write_time
from heliograph_collector.publish.sentences import dashed

MAX_OPEN, MAX_OVER = 12, 6
_MAX_HISTORY = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One incident on the front page."""

    id: str
    sentence: str
    state: str
    facts: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """What the front page tells; `watched`: a detector is at work, so that none means none."""

    watched: bool = False
    under_way: Sequence[Line] = ()
    over: Sequence[Line] = ()
    more: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One entry of the log."""

    entry: int
    at: str
    change: str
    sentence: str  # "" when it is the one before it
    called: bool
    words: str = ""  # an operator's own


def recent(watched: bool, under_way: Sequence[Json], over: Sequence[Json]) -> Recent:
    return Recent(
        watched=watched or bool(under_way or over),
        under_way=[line(i) for i in under_way[:MAX_OPEN]],
        over=[line(i) for i in over[:MAX_OVER]],
        more=len(under_way[MAX_OPEN:]) + len(over[MAX_OVER:]),
    )


def line(incident: Json) -> Line:
    facts = [
        incident["state"],
        words.KINDS.get(incident["kind"], incident["kind"]),
        words.sure(incident["confidence"]),
    ]
    if incident["parts"]:
        facts.append(f"{dashed(incident['parts'][0]['votes'])} votes")
    return Line(
        id=incident["id"],
        sentence=incident["sentence"],
        state=incident["state"],
        facts=facts,
    )


def render(
    incident: Json,
    history: Sequence[tuple[Json, Json | None]],
    now_us: int,
    key: str,
    assets: Mapping[str, str],
) -> str:
    country = incident["scope"]["country"]
    said = _said(history)
    return (
        environment()
        .get_template("incident.html")
        .render(
            incident=incident,
            country=country,
            place=words.country(country),
            kind=words.KINDS.get(incident["kind"], incident["kind"]),
            under_way=incident["state"] in OPEN,
            picture=course.draw(incident, now_us),
            facts=_facts(incident),
            parts=[_part(part, country) for part in incident["parts"]],
            turns=[(turn["way"], story.turn(turn, country)) for turn in incident["turns"]],
            hints=[words.HINTS.get(hint, hint) for hint in incident["hints"]],
            held=[words.HELD.get(word, word) for word in incident["held"]],
            said=said[-_MAX_HISTORY:],
            earlier=len(said[:-_MAX_HISTORY]),
            versions=incident["evidence"][-1]["versions"],
            key=key,
            at=write_time(now_us // 1_000_000 * 1_000_000),
            assets=assets,
        )
    )


def render_missing(assets: Mapping[str, str]) -> str:
    return environment().get_template("missing.html").render(assets=assets)


def _facts(incident: Json) -> list[tuple[str, str]]:
    """Names and values, in the order a reader asks."""
    told = [
        ("Where", story.where(incident["parts"], incident["scope"])),
        ("What", incident["title"] or "all traffic: machines that report to us fell silent"),
        ("Began", story.between(incident["started"])),
        ("Ended", _ended(incident)),
        ("How", words.how(incident["layer"], incident["method"])),
        ("First said", story.at(incident["suspected"])),
        ("Confirmed", _confirmed(incident)),
        ("How sure", story.sure(incident)),
    ]
    return [(name, value) for name, value in told if value]


def _confirmed(incident: Json) -> str:
    """By whom, and when. The operator's word and the detector's are told apart."""
    own = story.at(incident["confirmed"]) if incident["confirmed"] else "not yet"
    if "operator" not in incident["confirmed_by"]:
        return own
    when = story.at(incident["operator"]["confirmed"]["at"])
    return f"by the operator, {when}; by the detector: {own}"


def _ended(incident: Json) -> str:
    if incident["ended"]:
        return story.between(incident["ended"])
    return {"withdrawn": "withdrawn", "closed": "not known"}.get(incident["state"], "not yet")


def _part(part: Json, country: str) -> dict[str, Any]:
    return {
        "place": story.cell(part) or f"all of {words.country(country)}",
        "votes": dashed(part["votes"]),
        "share": f"{part['share']:.0%}",
        "networks": part["networks"],
        "spared": ", ".join(story.spared_in(part, other) for other in part["except"]),
    }


def _said(history: Sequence[tuple[Json, Json | None]]) -> list[Said]:
    told: list[Said] = []
    before: Json | None = None
    for alert, then in history:
        change = str(words.CHANGES.get(alert["change"], alert["change"]))
        news = _news(before, then)
        same = before is not None and then is not None and before["sentence"] == then["sentence"]
        told.append(
            Said(
                entry=alert["entry"],
                at=story.at(alert["at"]),
                change=f"{change}: {news}" if alert["change"] == "revised" and news else change,
                sentence="" if same or then is None else then["sentence"],
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


def _news(before: Json | None, then: Json | None) -> str:
    """What a revision changed."""
    if before is None or then is None:
        return ""
    return ", ".join(word for name, word in _NEWS.items() if before[name] != then[name])


_NEWS = {
    "parts": "where, and how many",
    "started": "when it began",
    "ended": "when it ended",
    "turns": "what came back",
    "layer": "how",
    "method": "in which way",
    "confidence": "how sure",
    "hints": "hints",
    "held": "what stands against it",
}
