"""Answers what the console asks of incidents and alerts, in words ready to be shown."""

import sqlite3
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from heliograph_collector.alerting import templates
from heliograph_collector.alerting.message import Message
from heliograph_collector.alerting.outbox import Delivery
from heliograph_collector.alerting.payloads import host_of
from heliograph_collector.app.alerting import Alerts
from heliograph_collector.config.receiver import Receiver, Suspected
from heliograph_collector.console import alerts as a
from heliograph_collector.console import incidents as i
from heliograph_collector.console.backend import Office
from heliograph_collector.http import labels
from heliograph_collector.http.backend import Feed, LinkCount
from heliograph_collector.http.incident_cache import Shelf
from heliograph_collector.http.incident_document import OPEN, Json, us
from heliograph_collector.http.pages import incident_text
from heliograph_collector.incidents.log_file import AlertLogError
from heliograph_collector.incidents.operator_entries import ActError, Saying
from heliograph_collector.incidents.state import Act
from heliograph_collector.model.records import MeasurementFilter, Silence, State, Vote
from heliograph_collector.store.clickhouse import StoreError

_BIN_S = 60
_BEFORE_US = 300_000_000  # what was before it belongs to the picture
_MOST_US = 6 * 3_600_000_000  # of a long one its beginning
_MEASUREMENTS = 20
_DELIVERIES = 100

Say = Callable[[Saying], Awaitable[object]]


class Casebook:
    """`say` writes an operator's word into the log."""

    def __init__(self, feed: Feed, say: Say) -> None:
        self._feed, self._say = feed, say
        self._shelf = Shelf(feed)

    def registry(self) -> i.Registry:
        return i.Registry(many=self._many, one=self._one, evidence=self._evidence, act=self._act)

    def standing(self) -> Mapping[str, int]:
        """How many are open, by state."""
        states = [one["state"] for one in self._shelf.all()]
        return {state: states.count(state) for state in OPEN}

    def _many(self) -> list[i.Line]:
        """Those that are open first, the confirmed before the suspected."""
        rank = {"confirmed": 0, "suspected": 1}
        told = sorted(self._shelf.all(), key=lambda one: rank.get(one["state"], 2))
        return [line(one) for one in told]

    def _one(self, id_: str) -> i.Case | None:
        incident = self._shelf.one(id_)
        return case(incident) if incident else None

    async def _act(self, id_: str, act: str, seen: int, text: str, name: str) -> None:
        """Raises Refused."""
        said = Saying(incident=id_, act=Act(f"operator_{act}"), seen=seen, text=text, name=name)
        try:
            await self._say(said)
        except ActError as error:
            raise i.Refused(str(error)) from error
        except (OSError, AlertLogError) as error:
            raise i.Refused(f"The log cannot be written, so nothing was said: {error}.") from error

    async def _evidence(self, id_: str) -> i.Evidence:
        incident = self._shelf.one(id_)
        if incident is None:
            return i.Evidence()
        since_us, until_us = _window(incident, self._feed.clock.wall_us())
        try:
            networks = await self._networks(incident, since_us, until_us)
            measured = await self._measured(incident, since_us, until_us)
        except StoreError as error:
            return i.Evidence(trouble=f"The store does not answer just now: {error}")
        return i.Evidence(networks=networks, measurements=measured)

    async def _networks(self, incident: Json, since_us: int, until_us: int) -> list[i.Network]:
        scope = incident["scope"]
        where = {"country": scope["country"]}
        window = (since_us, until_us, _BIN_S)
        if not scope["service"]:
            here = self._feed.links() if incident["state"] in OPEN else ()
            mine = [one for one in here if one.country == scope["country"]]
            return gone(await self._feed.silences(*window, **where), mine)
        return voted(await self._feed.votes(*window, **where, service=scope["service"]))

    async def _measured(self, incident: Json, since_us: int, until_us: int) -> list[i.Measured]:
        """For a silence there are none: nobody could measure."""
        scope = incident["scope"]
        if not scope["service"]:
            return []
        wanted = MeasurementFilter(
            country=scope["country"],
            region=scope["region"],
            asn=scope["asn"] or None,
            access=scope["access"],
            service=scope["service"],
            state=State.BLOCKED.value,
            since_us=since_us,
            until_us=until_us,
        )
        page = await self._feed.measurements(wanted, "", _MEASUREMENTS)
        return [_measured(taken, verdicts) for taken, verdicts in page.items]


def with_pulse(office: Office, head: Callable[[], str], changes: Callable[[], int]) -> Office:
    """An office whose pages hear of the log (its `head`) and of the outbox as well."""
    own = office.pulse
    return replace(office, pulse=lambda: {**own(), "log": head(), "alerts": changes()})


def line(incident: Json) -> i.Line:
    marks = []
    said = incident["operator"]
    if said and said["acknowledged"]:
        marks.append("seen")
    if "operator" in incident["confirmed_by"]:
        marks.append("confirmed by operator")
    if incident["withdrawn_by"] == "operator":
        marks.append("withdrawn by operator")
    if said and said["notes"]:
        marks.append(f"{len(said['notes'])} note{'s' if len(said['notes']) > 1 else ''}")
    parts = incident["parts"]
    facts = [labels.word("kind", incident["kind"]), labels.sure(incident["confidence"])]
    facts += [f"{_dashed(parts[0]['votes'])} votes"] if parts else []
    return i.Line(
        id=incident["id"],
        sentence=incident["sentence"],
        state=incident["state"],
        open=incident["state"] in OPEN,
        country=incident["scope"]["country"],
        service=incident["scope"]["service"],
        facts=facts,
        marks=marks,
        updated=_clock(us(incident["updated"])),
    )


def case(incident: Json) -> i.Case:
    country = incident["scope"]["country"]
    return i.Case(
        line=line(incident),
        seen=incident["alerts"][-1]["entry"],
        may=_may(incident),
        facts=_facts(incident),
        held=[labels.word("held", word) for word in incident["held"]],
        hints=[labels.word("hint", word) for word in incident["hints"]],
        parts=[_part(part, country) for part in incident["parts"]],
        turns=[(turn["way"], incident_text.turn(turn, country)) for turn in incident["turns"]],
        said=[_said(alert) for alert in reversed(incident["alerts"])],
        page=incident["links"]["page"],
    )


def voted(votes: Sequence[Vote]) -> list[i.Network]:
    """Each vantage once: by what most of its verdicts said."""
    tallies: dict[tuple[int, str], dict[str, list[int]]] = defaultdict(
        lambda: defaultdict(lambda: [0, 0, 0])
    )
    for vote in votes:
        tally = tallies[vote.asn, vote.access][vote.nym]
        tally[0] += vote.blocked
        tally[1] += vote.reachable
        tally[2] += vote.unknown + vote.down
    found = []
    for (asn, access), vantages in tallies.items():
        says = [_says(*tally) for tally in vantages.values()]
        found.append(
            i.Network(
                name=_network(asn, access),
                bad=says.count("bad"),
                good=says.count("good"),
                unknown=says.count("unknown"),
                silent=False,
            )
        )
    return sorted(found, key=lambda one: (-one.bad, -one.good, one.name))


def gone(silences: Sequence[Silence], here: Sequence[LinkCount] = ()) -> list[i.Network]:
    """How many vantages of each network were away at once, at most; and how many are `here`."""
    most: dict[tuple[int, str], dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for one in silences:
        most[one.asn, one.access][one.start_us] += one.vantages
    live: dict[tuple[int, str], int] = defaultdict(int)
    for link in here:
        live[link.asn, link.access] += link.vantages
    found = []
    for asn, access in {*most, *live}:
        away = max(most[asn, access].values(), default=0)
        found.append(
            i.Network(
                name=_network(asn, access), bad=away, good=live[asn, access], unknown=0, silent=True
            )
        )
    return sorted(found, key=lambda one: (-one.bad, -one.good, one.name))


def courier(alerts: Alerts) -> a.Courier:
    async def deliveries() -> list[a.Delivery]:
        try:
            return [delivery(one) for one in await alerts.deliveries(_DELIVERIES)]
        except sqlite3.Error as error:
            raise OSError(str(error)) from error

    async def again(id_: str) -> bool:
        try:
            return await alerts.again(id_)
        except sqlite3.Error as error:
            raise OSError(str(error)) from error

    def receivers(seen: Sequence[a.Delivery]) -> list[a.Receiver]:
        newest = {one.receiver: one.state for one in reversed(seen)}
        return [receiver(one, newest.get(one.name, "")) for one in alerts.receivers]

    return a.Courier(receivers=receivers, deliveries=deliveries, again=again)


def receiver(one: Receiver, state: str) -> a.Receiver:
    wants = [*one.countries, *one.services, *(labels.word("kind", kind) for kind in one.kinds)]
    told = ", ".join(wants) or "everything"
    if one.states:
        told += f"; only {', '.join(one.states)}"
    if one.suspected is not Suspected.LEAVE_OUT:
        told += f"; suspected ones {'quietly' if one.suspected is Suspected.QUIET else 'too'}"
    place = ", ".join(one.to) or one.room or host_of(one.url) or "an address in a file"
    return a.Receiver(name=one.name, kind=one.kind.value, place=place, wants=told, state=state)


def delivery(one: Delivery) -> a.Delivery:
    message = Message(id=one.id, alerts=one.alerts, more=one.more)
    return a.Delivery(
        id=one.id,
        receiver=one.receiver,
        title=templates.title(message),
        made=_clock(one.made_us),
        state=one.state,
        tries=one.tries,
        said=one.said,
        next=_clock(one.due_us) if one.due_us is not None and one.tries else "",
    )


def _may(incident: Json) -> list[str]:
    """What an operator can say of it as it stands; the log has the last word on that."""
    said = incident["operator"] or {}
    may = ["annotated"]
    if not said.get("acknowledged"):
        may.append("acknowledged")
    if incident["state"] != "withdrawn":
        may.append("withdrawn")
    if "operator" not in incident["confirmed_by"] and incident["withdrawn_by"] != "detector":
        may.append("confirmed")
    return may


def _facts(incident: Json) -> list[tuple[str, str]]:
    own = incident_text.at(incident["confirmed"]) if incident["confirmed"] else "not confirmed"
    told = [
        ("Where", incident_text.where(incident["parts"], incident["scope"])),
        ("What", incident["title"] or "all traffic"),
        ("Began", incident_text.between(incident["started"])),
        ("Ended", incident_text.between(incident["ended"]) if incident["ended"] else ""),
        ("How", labels.how(incident["layer"], incident["method"])),
        ("Detector", f"{incident['detected']}; {own}"),
        ("Operator", _operators(incident)),
        ("How sure", incident_text.sure(incident)),
    ]
    return [(name, value) for name, value in told if value]


def _operators(incident: Json) -> str:
    said = incident["operator"] or {}
    for name in ("confirmed", "withdrawn"):
        one = said.get(name)
        if one and one["until"] is None:
            reason = f": “{one['text']}”" if one["text"] else ""
            return f"{name} at {incident_text.at(one['at'])}{reason}"
    stale = said.get("withdrawn")
    if stale and incident["withdrawn_by"] != "operator" and "confirmed" not in said:
        return f"withdrawn, until entry {stale['until']} brought new evidence"
    return ""


def _part(part: Json, country: str) -> Mapping[str, Any]:
    return {
        "place": incident_text.cell(part) or f"all of {labels.country(country)}",
        "votes": _dashed(part["votes"]),
        "share": f"{part['share']:.0%}",
        "networks": part["networks"],
        "spared": ", ".join(incident_text.spared_in(part, other) for other in part["except"]),
    }


def _said(alert: Json) -> i.Said:
    return i.Said(
        entry=alert["entry"],
        at=_clock(us(alert["at"])),
        change=labels.word("change", alert["change"]),
        by=alert["by"],
        text=alert["text"],
        name=alert["name"],
        called=alert["called"],
    )


def _measured(taken: Any, verdicts: Sequence[Any]) -> i.Measured:
    whole = next((v for v in verdicts if not v.endpoint), None)
    vantage, made = taken.vantage, taken.measurement
    return i.Measured(
        id=taken.id,
        at=_clock(taken.started_us),
        network=_network(vantage.asn, str(vantage.access)),
        target=made.target,
        state=whole.state.value if whole else "",
        how=labels.how(whole.layer, whole.method) if whole else "",
        rule=whole.rule if whole else "",
    )


def _says(bad: int, good: int, unknown: int) -> str:
    if bad == good == 0:
        return "unknown"
    return "bad" if bad > good else "good"


def _dashed(band: str) -> str:
    """A band of a count as people write it."""
    return band.replace("-", "\N{EN DASH}")


def _network(asn: int, access: str) -> str:
    return f"{f'AS{asn}' if asn else 'network not known'} {access}".rstrip()


def _window(incident: Json, now_us: int) -> tuple[int, int]:
    since_us = us(incident["started"]["earliest"])
    end = incident["ended"]["latest"] if incident["ended"] else incident["closed"]
    until_us = min(us(end) if end else now_us, since_us + _MOST_US)
    bin_us = _BIN_S * 1_000_000
    first = (since_us - _BEFORE_US) // bin_us * bin_us
    return first, max(until_us, since_us + bin_us) // bin_us * bin_us + bin_us


def _clock(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us // 1_000_000, UTC):%Y-%m-%d %H:%M:%S}"
