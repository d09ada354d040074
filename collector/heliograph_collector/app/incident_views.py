"""Views of incidents and alerts for the console, with texts ready to be shown."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from heliograph_collector.console import incidents as incident_pages
from heliograph_collector.console.backend import ConsoleBackend
from heliograph_collector.console.formats import format_second
from heliograph_collector.http import labels
from heliograph_collector.http.backend import Feed, LinkCount
from heliograph_collector.http.incident_cache import IncidentCache
from heliograph_collector.http.incident_document import OPEN_STATES, Json, parse_us
from heliograph_collector.http.pages import incident_text
from heliograph_collector.incidents.log_file import AlertLogError
from heliograph_collector.incidents.operator_entries import OperatorEntry, OperatorEntryError
from heliograph_collector.incidents.state import OperatorAct
from heliograph_collector.model.records import MeasurementFilter, SilenceCount, VerdictState, Vote
from heliograph_collector.store.clickhouse import StoreError

_BIN_S = 60
_LEAD_US = 300_000_000  # the evidence includes this time before the incident
_MAX_SPAN_US = 6 * 3_600_000_000  # of a longer incident only the beginning
_MAX_MEASUREMENTS = 20

RecordEntry = Callable[[OperatorEntry], Awaitable[object]]


class IncidentViews:
    """Views of incidents; `record_entry` writes an operator's entry to the log."""

    def __init__(self, feed: Feed, record_entry: RecordEntry) -> None:
        self._feed = feed
        self._record_entry = record_entry
        self._incident_cache = IncidentCache(feed)

    def build_actions(self) -> incident_pages.IncidentActions:
        return incident_pages.IncidentActions(
            list_incidents=self._list_incidents,
            get_incident=self._get_incident,
            get_evidence=self._get_evidence,
            record_act=self._record_act,
        )

    def count_open(self) -> Mapping[str, int]:
        """Count the open incidents by state."""
        states = [incident["state"] for incident in self._incident_cache.all_incidents()]
        return {state: states.count(state) for state in OPEN_STATES}

    def _list_incidents(self) -> list[incident_pages.IncidentRow]:
        """List the incidents, confirmed before suspected before closed ones."""
        rank = {"confirmed": 0, "suspected": 1}
        incidents = sorted(
            self._incident_cache.all_incidents(),
            key=lambda incident: rank.get(incident["state"], 2),
        )
        return [build_row(incident) for incident in incidents]

    def _get_incident(self, id_: str) -> incident_pages.IncidentDetail | None:
        incident = self._incident_cache.get_incident(id_)
        return build_detail(incident) if incident else None

    async def _record_act(
        self, id_: str, act: str, seen_entry: int, comment: str, name: str
    ) -> None:
        """Record an operator's act in the log. Raises ActRefusedError."""
        operator_entry = OperatorEntry(
            incident=id_,
            act=OperatorAct(f"operator_{act}"),
            seen_number=seen_entry,
            note=comment,
            name=name,
        )
        try:
            await self._record_entry(operator_entry)
        except OperatorEntryError as error:
            raise incident_pages.ActRefusedError(str(error)) from error
        except (OSError, AlertLogError) as error:
            raise incident_pages.ActRefusedError(
                f"The log cannot be written, so nothing was said: {error}."
            ) from error

    async def _get_evidence(self, id_: str) -> incident_pages.EvidenceView:
        incident = self._incident_cache.get_incident(id_)
        if incident is None:
            return incident_pages.EvidenceView()
        since_us, until_us = _evidence_window(incident, self._feed.clock.wall_us())
        try:
            networks = await self._count_networks(incident, since_us, until_us)
            measurements = await self._list_measurements(incident, since_us, until_us)
        except StoreError as error:
            return incident_pages.EvidenceView(
                problem=f"The store does not answer just now: {error}"
            )
        return incident_pages.EvidenceView(networks=networks, measurements=measurements)

    async def _count_networks(
        self, incident: Json, since_us: int, until_us: int
    ) -> list[incident_pages.NetworkVotes]:
        scope = incident["scope"]
        filters = {"country": scope["country"]}
        window = (since_us, until_us, _BIN_S)
        if not scope["service"]:
            live_links = self._feed.links() if incident["state"] in OPEN_STATES else ()
            country_links = [
                link_count for link_count in live_links if link_count.country == scope["country"]
            ]
            return count_silences(await self._feed.silences(*window, **filters), country_links)
        return count_votes(await self._feed.votes(*window, **filters, service=scope["service"]))

    async def _list_measurements(
        self, incident: Json, since_us: int, until_us: int
    ) -> list[incident_pages.MeasurementRow]:
        """List the blocked measurements of an incident; a silence has none."""
        scope = incident["scope"]
        if not scope["service"]:
            return []
        filters = MeasurementFilter(
            country=scope["country"],
            region=scope["region"],
            asn=scope["asn"] or None,
            access=scope["access"],
            service=scope["service"],
            state=VerdictState.BLOCKED.value,
            since_us=since_us,
            until_us=until_us,
        )
        page = await self._feed.measurements(filters, "", _MAX_MEASUREMENTS)
        return [_build_measurement(record, verdicts) for record, verdicts in page.items]


def add_change_markers(
    backend: ConsoleBackend, read_head: Callable[[], str], count_changes: Callable[[], int]
) -> ConsoleBackend:
    """Add change markers of the log (its head) and of the outbox to a backend."""
    base_markers = backend.read_change_markers
    return replace(
        backend,
        read_change_markers=lambda: {
            **base_markers(),
            "log": read_head(),
            "alerts": count_changes(),
        },
    )


def build_row(incident: Json) -> incident_pages.IncidentRow:
    marks = []
    operator = incident["operator"]
    if operator and operator["acknowledged"]:
        marks.append("seen")
    if "operator" in incident["confirmed_by"]:
        marks.append("confirmed by operator")
    if incident["withdrawn_by"] == "operator":
        marks.append("withdrawn by operator")
    if operator and operator["notes"]:
        marks.append(f"{len(operator['notes'])} note{'s' if len(operator['notes']) > 1 else ''}")
    parts = incident["parts"]
    facts = [
        labels.label_code("kind", incident["kind"]),
        labels.describe_confidence(incident["confidence"]),
    ]
    facts += [f"{_format_band(parts[0]['votes'])} votes"] if parts else []
    return incident_pages.IncidentRow(
        id=incident["id"],
        sentence=incident["sentence"],
        state=incident["state"],
        is_open=incident["state"] in OPEN_STATES,
        country=incident["scope"]["country"],
        service=incident["scope"]["service"],
        facts=facts,
        marks=marks,
        updated=format_second(parse_us(incident["updated"])),
    )


def build_detail(incident: Json) -> incident_pages.IncidentDetail:
    country = incident["scope"]["country"]
    return incident_pages.IncidentDetail(
        row=build_row(incident),
        newest_entry=incident["alerts"][-1]["entry"],
        allowed_acts=_list_allowed_acts(incident),
        facts=_build_facts(incident),
        counter_evidence=[labels.label_code("held", code) for code in incident["held"]],
        hints=[labels.label_code("hint", code) for code in incident["hints"]],
        parts=[_build_part(part, country) for part in incident["parts"]],
        turns=[
            (phase_change["way"], incident_text.describe_phase_change(phase_change, country))
            for phase_change in incident["turns"]
        ],
        log_entries=[_build_log_entry(alert) for alert in reversed(incident["alerts"])],
        page=incident["links"]["page"],
    )


def count_votes(votes: Sequence[Vote]) -> list[incident_pages.NetworkVotes]:
    """Count each vantage once by its most frequent verdict."""
    counts_by_network: dict[tuple[int, str], dict[str, list[int]]] = defaultdict(
        lambda: defaultdict(lambda: [0, 0, 0])
    )
    for vote in votes:
        vote_counts = counts_by_network[vote.asn, vote.access][vote.pseudonym]
        vote_counts[0] += vote.blocked
        vote_counts[1] += vote.reachable
        vote_counts[2] += vote.unknown + vote.down
    networks = []
    for (asn, access), vantages in counts_by_network.items():
        vantage_states = [_classify_votes(*vote_counts) for vote_counts in vantages.values()]
        networks.append(
            incident_pages.NetworkVotes(
                name=_format_network(asn, access),
                bad=vantage_states.count("bad"),
                good=vantage_states.count("good"),
                unknown=vantage_states.count("unknown"),
                is_silence=False,
            )
        )
    return sorted(networks, key=lambda network: (-network.bad, -network.good, network.name))


def count_silences(
    silences: Sequence[SilenceCount], live_links: Sequence[LinkCount] = ()
) -> list[incident_pages.NetworkVotes]:
    """Count per network the most vantages silent at once, and those connected."""
    silent_by_start: dict[tuple[int, str], dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for network in silences:
        silent_by_start[network.asn, network.access][network.start_us] += network.vantages
    live_vantages: dict[tuple[int, str], int] = defaultdict(int)
    for link in live_links:
        live_vantages[link.asn, link.access] += link.vantages
    networks = []
    for asn, access in {*silent_by_start, *live_vantages}:
        max_silent = max(silent_by_start[asn, access].values(), default=0)
        networks.append(
            incident_pages.NetworkVotes(
                name=_format_network(asn, access),
                bad=max_silent,
                good=live_vantages[asn, access],
                unknown=0,
                is_silence=True,
            )
        )
    return sorted(networks, key=lambda network: (-network.bad, -network.good, network.name))


def _list_allowed_acts(incident: Json) -> list[str]:
    """List the acts that the state allows; the log makes the final check."""
    operator = incident["operator"] or {}
    allowed_acts = ["annotated"]
    if not operator.get("acknowledged"):
        allowed_acts.append("acknowledged")
    if incident["state"] != "withdrawn":
        allowed_acts.append("withdrawn")
    if "operator" not in incident["confirmed_by"] and incident["withdrawn_by"] != "detector":
        allowed_acts.append("confirmed")
    return allowed_acts


def _build_facts(incident: Json) -> list[tuple[str, str]]:
    confirmed_at = (
        incident_text.format_timestamp(incident["confirmed"])
        if incident["confirmed"]
        else "not confirmed"
    )
    facts = [
        ("Where", incident_text.describe_place(incident["parts"], incident["scope"])),
        ("What", incident["title"] or "all traffic"),
        ("Began", incident_text.describe_bracket(incident["started"])),
        ("Ended", incident_text.describe_bracket(incident["ended"]) if incident["ended"] else ""),
        ("How", labels.describe_method(incident["layer"], incident["method"])),
        ("Detector", f"{incident['detected']}; {confirmed_at}"),
        ("Operator", _describe_operator(incident)),
        ("How sure", incident_text.describe_confidence(incident)),
    ]
    return [(name, value) for name, value in facts if value]


def _describe_operator(incident: Json) -> str:
    operator = incident["operator"] or {}
    for name in ("confirmed", "withdrawn"):
        entry = operator.get(name)
        if entry and entry["until"] is None:
            reason = f": “{entry['text']}”" if entry["text"] else ""
            return f"{name} at {incident_text.format_timestamp(entry['at'])}{reason}"
    withdrawal = operator.get("withdrawn")
    if withdrawal and incident["withdrawn_by"] != "operator" and "confirmed" not in operator:
        return f"withdrawn, until entry {withdrawal['until']} brought new evidence"
    return ""


def _build_part(part: Json, country: str) -> Mapping[str, Any]:
    return {
        "place": incident_text.describe_cell(part) or f"all of {labels.country_name(country)}",
        "votes": _format_band(part["votes"]),
        "share": f"{part['share']:.0%}",
        "networks": part["networks"],
        "spared": ", ".join(incident_text.describe_spared(part, other) for other in part["except"]),
    }


def _build_log_entry(alert: Json) -> incident_pages.LogEntryView:
    return incident_pages.LogEntryView(
        entry=alert["entry"],
        at=format_second(parse_us(alert["at"])),
        change=labels.label_code("change", alert["change"]),
        by=alert["by"],
        comment=alert["text"],
        name=alert["name"],
        is_alert=alert["called"],
    )


def _build_measurement(record: Any, verdicts: Sequence[Any]) -> incident_pages.MeasurementRow:
    overall = next((v for v in verdicts if not v.endpoint), None)
    vantage = record.vantage
    measurement = record.measurement
    return incident_pages.MeasurementRow(
        id=record.id,
        at=format_second(record.started_us),
        network=_format_network(vantage.asn, str(vantage.access)),
        target=measurement.target,
        state=overall.state.value if overall else "",
        how=labels.describe_method(overall.layer, overall.method) if overall else "",
        rule=overall.rule if overall else "",
    )


def _classify_votes(bad: int, good: int, unknown: int) -> str:
    if bad == good == 0:
        return "unknown"
    return "bad" if bad > good else "good"


def _format_band(band: str) -> str:
    """Format the band of a count for people."""
    return band.replace("-", "\N{EN DASH}")


def _format_network(asn: int, access: str) -> str:
    return f"{f'AS{asn}' if asn else 'network not known'} {access}".rstrip()


def _evidence_window(incident: Json, now_us: int) -> tuple[int, int]:
    since_us = parse_us(incident["started"]["earliest"])
    end = incident["ended"]["latest"] if incident["ended"] else incident["closed"]
    until_us = min(parse_us(end) if end else now_us, since_us + _MAX_SPAN_US)
    bin_us = _BIN_S * 1_000_000
    first_us = (since_us - _LEAD_US) // bin_us * bin_us
    return first_us, max(until_us, since_us + bin_us) // bin_us * bin_us + bin_us
