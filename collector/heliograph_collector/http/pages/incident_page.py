"""Incidents for people: a line each on the front page, and a page of its own for each one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup

from heliograph_collector.http import i18n, labels
from heliograph_collector.http.api.parameters import write_time
from heliograph_collector.http.charts import episode_chart, incident_chart
from heliograph_collector.http.charts.incident_chart import View
from heliograph_collector.http.i18n import Tongue
from heliograph_collector.http.incident_document import OPEN, Json
from heliograph_collector.http.pages import incident_facts, incident_text
from heliograph_collector.http.pages import incident_facts as facts
from heliograph_collector.http.pages.incident_text import ENGLISH
from heliograph_collector.http.templates import environment

MAX_OPEN, MAX_OVER = 12, 6
_MAX_HISTORY = 100
_MAX_EVIDENCE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One incident on the front page."""

    id: str
    sentence: str
    state: str
    kind: str
    facts: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """What the front page tells; `watched`: a detector is at work, so that none means none."""

    watched: bool = False
    under_way: Sequence[Line] = ()
    over: Sequence[Line] = ()
    more: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the store told beside the incident: rows of its timeline; none while it is away."""

    frame: View
    rows: Sequence[Json] = ()
    k: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the page stands: its address, the key of the log, and the moment."""

    base: str
    key: str
    now_us: int


def recent(
    watched: bool, under_way: Sequence[Json], over: Sequence[Json], t: Tongue = ENGLISH
) -> Recent:
    return Recent(
        watched=watched,
        under_way=[line(i, t) for i in under_way[:MAX_OPEN]],
        over=[line(i, t) for i in over[:MAX_OVER]],
        more=len(under_way[MAX_OPEN:]) + len(over[MAX_OVER:]),
    )


def line(incident: Json, t: Tongue = ENGLISH) -> Line:
    told = [
        labels.word("incident_state", incident["state"], t.lang),
        labels.word("kind", incident["kind"], t.lang),
    ]
    if incident["state"] != "withdrawn":
        told.append(labels.sure(incident["confidence"], t.lang))
    if incident["parts"]:
        votes = i18n.band(t.lang, incident["parts"][0]["votes"])
        told.append(t("incident.votes_fact", votes=votes))
    return Line(
        id=incident["id"],
        sentence=incident_text.sentence(incident, t),
        state=incident["state"],
        kind=incident["kind"],
        facts=told,
    )


def picture(incident: Json, seen: Seen, now_us: int, t: Tongue) -> Markup:
    """The votes over time; only how it went, when the store has nothing to tell."""
    if incident_chart.seen(seen.rows):
        alt = _alt(incident, seen, t)
        return incident_chart.draw(incident, seen.rows, seen.frame, t, alt)
    return episode_chart.draw(incident, now_us, incident_text.sentence(incident, t), t)


def render(
    incident: Json,
    history: Sequence[tuple[Json, Json | None]],
    seen: Seen,
    place: Place,
    t: Tongue,
    assets: Mapping[str, str],
) -> str:
    country = incident["scope"]["country"]
    said = facts.said(history, t)
    drawn = picture(incident, seen, place.now_us, t)
    return (
        environment()
        .get_template("incident.html")
        .render(
            t=t,
            incident=incident,
            sentence=incident_text.sentence(incident, t),
            country=country,
            place=labels.country(country, t.lang),
            badges=_badges(incident, t),
            under_way=incident["state"] in OPEN,
            silence=incident["kind"] == "network_silence",
            picture=drawn,
            charted=incident_chart.seen(seen.rows),
            legend=legend(incident, drawn, t),
            columns=incident_chart.columns(incident),
            phases=_phases(incident, seen, t),
            note=_note(seen, t),
            rows=_timeline(incident, seen.frame),
            facts=facts.known(incident, t),
            parts=[facts.part(part, country, t) for part in incident["parts"]],
            turns=[
                (turn["way"], incident_text.turn(turn, country, t)) for turn in incident["turns"]
            ],
            hints=[labels.word("hint", hint, t.lang) for hint in incident["hints"]],
            held=[labels.word("held", word, t.lang) for word in incident["held"]],
            outside=incident_facts.told(incident.get("corroboration", ()), t),
            said=said[-_MAX_HISTORY:],
            earlier=len(said[:-_MAX_HISTORY]),
            evidence=[facts.grounds(one) for one in incident["evidence"][-_MAX_EVIDENCE:]],
            k=seen.k,
            key=place.key,
            base=place.base,
            as_of=incident_text.at(write_time(place.now_us), t),
            at=write_time(place.now_us // 1_000_000 * 1_000_000),
            assets=assets,
        )
    )


def render_embed(
    incident: Json, seen: Seen, place: Place, t: Tongue, assets: Mapping[str, str]
) -> str:
    """For the frame of another page: the sentence and the picture, and the way to the rest."""
    drawn = picture(incident, seen, place.now_us, t)
    return (
        environment()
        .get_template("embed.html")
        .render(
            t=t,
            incident=incident,
            sentence=incident_text.sentence(incident, t),
            badges=_badges(incident, t),
            picture=drawn,
            charted=incident_chart.seen(seen.rows),
            legend=legend(incident, drawn, t),
            as_of=incident_text.at(write_time(place.now_us), t),
            assets=assets,
        )
    )


def _badges(incident: Json, t: Tongue) -> list[tuple[str, str]]:
    """(class, word). The log's label is English."""
    state = labels.word("incident_state", incident["state"], t.lang)
    if incident["state"] in OPEN:
        state = t("incident.open", state=state)
    kind = labels.word("kind", incident["kind"], t.lang)
    label = [("", incident["label"])] if t.lang == ENGLISH.lang else []
    return [(incident["state"], state), ("", kind), *label]


def legend(incident: Json, drawn: Markup, t: Tongue) -> list[tuple[str, str]]:
    """(class, word) of the kinds of bars that a picture of votes has; none of how it went."""
    names = [(name, f"chart.is_{name}") for name in (*incident_chart.parts(incident), "few")]
    known = [*names, ("back", "incident.key_opening")]
    return [(name, t(word)) for name, word in known if f'<rect class="{name}"' in drawn]


def badge(incident: Json, t: Tongue) -> str:
    """Its kind and state, for the picture to share."""
    state = labels.word("incident_state", incident["state"], t.lang)
    return t("share.badge", kind=labels.word("kind", incident["kind"], t.lang), state=state)


def _note(seen: Seen, t: Tongue) -> str:
    step = t(f"chart.step_{seen.frame.bin_s}")
    return t("chart.note" if seen.k > 1 else "chart.note_exact", step=step)


def _timeline(incident: Json, frame: View) -> str:
    """The address of the rows of which the picture is made."""
    asked = {
        **incident_chart.scope(incident),
        "since": write_time(frame.since_us),
        "until": write_time(frame.until_us),
        "bin": frame.bin_s,
    }
    return f"/api/v1/timeline?{urlencode(asked)}"


def _phases(incident: Json, seen: Seen, t: Tongue) -> list[dict[str, Any]]:
    """Before, during and after as rows of a table."""
    if not incident_chart.seen(seen.rows):
        return []
    return [
        {
            "name": t(f"chart.{phase.name}"),
            "counts": None
            if phase.counts is None
            else [facts.least(count, seen.k, t) for count in phase.counts.values()],
        }
        for phase in incident_chart.phases(incident, seen.rows, seen.frame)
    ]


def _alt(incident: Json, seen: Seen, t: Tongue) -> str:
    """The picture for those who hear it."""
    told = [
        t("chart.alt", phase=t(f"chart.{phase.name}"), told=_counted(phase, seen.k, t))
        for phase in incident_chart.phases(incident, seen.rows, seen.frame)
    ]
    return "; ".join(told)


def _counted(phase: incident_chart.Phase, k: int, t: Tongue) -> str:
    if phase.counts is None:
        return t("chart.nothing")
    counts = phase.counts
    named = [name for name, count in counts.items() if count] or list(counts)[:1]
    return i18n.listed(
        t.lang,
        [
            t("chart.count", what=t(f"chart.is_{n}"), count=facts.least(counts[n], k, t))
            for n in named
        ],
    )


def render_missing(assets: Mapping[str, str], t: Tongue = ENGLISH) -> str:
    return environment().get_template("missing.html").render(assets=assets, t=t)
