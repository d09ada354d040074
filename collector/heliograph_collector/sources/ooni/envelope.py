"""Common fields of an OONI measurement (df-000): vantage, time and link state."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from operator import attrgetter

from heliograph.failure import Failure, Operation
from heliograph.observation import Access, Link, Measurement, Observation
from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.model.control_look import VantageProfile
from heliograph_collector.model.records import AgentRole, ControlView, ReceivedMeasurement, Vantage
from heliograph_collector.sources.ooni.document import OoniDocument
from heliograph_collector.sources.ooni.http_facts import decode_headers, get_header, parse_scheme
from heliograph_collector.sources.ooni.portal import detect_portal

ACCESS = {"mobile": Access.MOBILE, "wifi": Access.FIXED, "wired_ethernet": Access.FIXED}
OWN_CONTROL = frozenset(("web_connectivity", "http_requests", "browser_web", "dns_consistency"))
NO_LINK = frozenset(
    {
        Failure.NETWORK_UNREACHABLE,
        Failure.NETWORK_DOWN,
        Failure.INTERRUPTED,
        Failure.GENERIC_TIMEOUT_ERROR,
        Failure.DNS_NO_RESOLVER,
        Failure.DNS_SERVER_MISBEHAVING,
        Failure.UNKNOWN_FAILURE,
    }
)  # failures that also occur without any network
# Words of the names of networks that many operators have; assumed.
GENERIC_WORDS = frozenset(
    {
        *("telecom", "telekom", "telecommunication", "telecommunications", "communications"),
        *("network", "networks", "internet", "broadband", "mobile", "wireless", "cable"),
        *("hosting", "cloud", "data", "online", "digital", "service", "services", "provider"),
        *("public", "joint", "stock", "limited", "company", "corporation", "corp", "group"),
        *("holding", "international", "national", "global", "center", "systems", "technologies"),
    }
)
_WORD = re.compile(r"[^\W\d_]{4,}")
_ASN = re.compile(r"(?:AS)?(\d{1,10})", re.IGNORECASE)
_CC = re.compile(r"[A-Z]{2}")
# The same measurement has no uid in OONI's files, and has one in the answers of its API.
_IDENTITY = attrgetter("report_id", "test_name", "input", "measurement_start_time")
_LONE_IDENTITY = attrgetter(
    *("measurement_uid", "id", "input"),
    *("measurement_start_time", "probe_asn", "test_name"),
)
# How far a probe's clock was off, by clocks of others in its document (formats: ooni/spec, df-000).
# assumed; caches repeat dates of hours ago, and certificates are renewed days before they expire
MIN_OFFSET_US = DAY_US
MAX_RUN_US = 2 * DAY_US  # assumed; a report is open for one run over a list of sites
MAX_DELAY_US = 60 * DAY_US  # assumed; probes without a network upload later, and not after months
_REPORT = re.compile(r"(\d{8}T\d{6})Z_")
_UID = re.compile(r"(\d{14})(?:\.\d+)?_")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedMeasurement:
    """Converted OONI measurement, ready for the judge."""

    input: str
    test_name: str
    probe_cc: str
    probe_asn: str
    record: ReceivedMeasurement
    control: ControlView
    presumed: bool = False  # the control is only the assumption that the service is up
    groups: Mapping[str, str] = field(default_factory=dict)
    causeless_labels: frozenset[str] = frozenset()  # endpoints without a recorded kind of failure


class UnreadableError(ValueError):
    """Error for an unreadable measurement; the message is the reason."""


def normalize_test_name(name: str) -> str:
    """Convert a name of ooniprobe 1.x, as `HTTP Requests Test`, to today's."""
    return "_".join(name.lower().split()).removesuffix("_test")


def parse_started_us(document: OoniDocument) -> int:
    """Parse the start time, 0 if the document has none in an expected form."""
    start_text = document.measurement_start_time or document.test_start_time
    try:
        started = datetime.fromisoformat(start_text.rstrip("Z").replace("T", " ")[:19] + "+00:00")
    except ValueError:
        return document.test_keys.start_time
    return int(started.timestamp()) * 1_000_000


def parse_vantage(document: OoniDocument) -> Vantage:
    asn = _ASN.fullmatch(document.probe_asn)
    country = document.probe_cc.upper()
    return Vantage(
        country=country if _CC.fullmatch(country) else "ZZ",
        asn=int(asn.group(1)) % 2**32 if asn else 0,
        access=ACCESS.get(document.annotations.network_type, Access.UNKNOWN),
    )


def build_profile(document: OoniDocument, link: Link) -> VantageProfile:
    """Build the vantage from the document's own fields."""
    asn = _ASN.fullmatch(document.resolver_asn)
    number = int(asn.group(1)) % 2**32 if asn else 0
    return VantageProfile(
        resolver_network=f"AS{number}" if number else "",
        has_foreign_resolver=False if _is_one_operator(document) else None,
        portal=True if link is Link.CAPTIVE else None,
    )


def _is_one_operator(document: OoniDocument) -> bool:
    """Return whether the names of both networks share a word of their operator."""
    names = document.probe_network_name, document.resolver_network_name
    own_words, other_words = ({*_WORD.findall(name.lower())} - GENERIC_WORDS for name in names)
    return not own_words.isdisjoint(other_words)


def detect_link(
    document: OoniDocument, observations: Sequence[Observation], *, helper: bool = False
) -> Link:
    """Return CAPTIVE behind a portal, ONLINE after an answer or an online start.

    OONI's probe tests no anchors. It looks up its own address before it measures and stops if that
    fails, so an AS number or a report id proves a link at the start. If even lookups were not
    answered later, the link may be lost.
    """
    if detect_portal(document.test_keys):
        return Link.CAPTIVE
    if helper or any(_is_answered(x) for x in observations):
        return Link.ONLINE
    if any(x.operation is Operation.RESOLVE for x in observations):
        return Link.UNKNOWN
    has_begun_online = parse_vantage(document).asn or document.report_id
    return Link.ONLINE if has_begun_online else Link.UNKNOWN


def _is_answered(observation: Observation) -> bool:
    if observation.failure is None:
        return observation.operation is not Operation.RESOLVE or bool(
            observation.dns and observation.dns.addresses
        )
    return observation.failure not in NO_LINK


def build_measurement(
    document: OoniDocument,
    observations: Sequence[Observation],
    *,
    experiment: str,
    target: str,
    service: str = "",
    online: Link = Link.ONLINE,
) -> Measurement:
    started_us = parse_started_us(document)
    return Measurement(
        experiment=experiment,
        experiment_version=1,
        target=target,
        service=service,
        started_us=started_us,
        clock_offset_us=_estimate_offset_us(document, started_us),
        monotonic_us=0,
        boot="",
        runtime_us=document.test_runtime,
        epoch="",
        link=online,
        observations=tuple(observations),
    )


def build_record(document: OoniDocument, ooni_measurement: Measurement) -> ReceivedMeasurement:
    """Build a record with an id that is equal at every import."""
    identity = _IDENTITY if document.report_id else _LONE_IDENTITY
    name = "\0".join(identity(document))
    return ReceivedMeasurement(
        id=hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:32],
        position=0,
        received_us=ooni_measurement.started_us + (ooni_measurement.clock_offset_us or 0),
        pseudonym="",
        prefix="",
        role=AgentRole.VOLUNTEER,
        vantage=parse_vantage(document),
        measurement=ooni_measurement,
    )


def _estimate_offset_us(document: OoniDocument, started_us: int) -> int | None:
    """Estimate the true time minus the probe's; None if unknown, 0 if about right.

    The helper's page has its server's date, `report_id` the time at which OONI's server opened the
    report, and `measurement_uid` that at which it got the measurement.
    """
    if not started_us:
        return None
    offsets = sorted(date_us - started_us for date_us in _list_dates(document))
    if offsets:
        return _drop_small(offsets[len(offsets) // 2])
    return _compare_with_server(document, started_us)


def _compare_with_server(document: OoniDocument, started_us: int) -> int | None:
    opened_us = _parse_time(_REPORT, document.report_id, "%Y%m%dT%H%M%S")
    received_us = _parse_time(_UID, document.measurement_uid, "%Y%m%d%H%M%S")
    latest_us = received_us or (opened_us + MAX_RUN_US if opened_us else 0)
    if latest_us and started_us > latest_us + MIN_OFFSET_US:
        return (received_us or opened_us) - started_us
    if opened_us and started_us < opened_us - MAX_DELAY_US:
        return opened_us - started_us
    return None


def _drop_small(offset_us: int) -> int:
    return offset_us if abs(offset_us) >= MIN_OFFSET_US else 0


def _list_dates(document: OoniDocument) -> Iterator[int]:
    """List dates of servers: of the helper's page, else of replies over verified TLS."""
    keys = document.test_keys
    page = keys.control.http_request
    date_us = 0
    if page is not None and page.status_code > 0:
        headers = decode_headers(page.headers)
        date_us = _parse_date(headers.get("date", ""), headers.get("age", ""))
    if date_us:
        yield date_us
        return
    for row in keys.requests:
        if parse_scheme(row.request.url) == "https" and row.response.code:
            date = get_header(row.response, "date")
            date_us = _parse_date(date, get_header(row.response, "age"))
            if date_us:
                yield date_us


def _parse_date(date: str, age: str) -> int:
    """Parse a Date header and the Age of a cached reply, in µs; 0 if there is none."""
    try:
        sent = parsedate_to_datetime(date)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0
    seconds = int(age) if age.isdecimal() and len(age) < 10 else 0
    if sent.tzinfo is None:
        sent = sent.replace(tzinfo=UTC)
    return (int(sent.timestamp()) + seconds) * SECOND_US


def _parse_time(pattern: re.Pattern[str], text: str, form: str) -> int:
    match = pattern.match(text)
    if match is None:
        return 0
    try:
        stamp = datetime.strptime(match.group(1), form).replace(tzinfo=UTC)
    except ValueError:
        return 0
    return int(stamp.timestamp()) * SECOND_US
