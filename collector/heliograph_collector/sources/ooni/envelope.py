"""The frame of an OONI measurement (df-000): who, where, when, and whether it was online at all."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from heliograph.failure import Failure, Operation
from heliograph.observation import Access, Link, Measurement, Observation
from heliograph_collector.model.records import ControlView, Role, Taken, Vantage
from heliograph_collector.sources.ooni.values import Json, microseconds, obj, text, whole

ACCESS = {"mobile": Access.MOBILE, "wifi": Access.FIXED, "wired_ethernet": Access.FIXED}
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
)  # failures that one also gets with no network at all
_ASN = re.compile(r"(?:AS)?(\d{1,10})", re.IGNORECASE)
_CC = re.compile(r"[A-Z]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """One of OONI's measurements in our words, ready to be judged."""

    input: str
    test_name: str
    probe_cc: str
    probe_asn: str
    taken: Taken
    control: ControlView
    presumed: bool = False  # the control is no more than the expectation that the service is up
    groups: Mapping[str, str] = field(default_factory=dict)
    wordless: frozenset[str] = frozenset()  # endpoints of which it is not told how they fail


class UnreadableError(ValueError):
    """It cannot be read as a measurement; str() is the reason."""


def started_us(document: Json) -> int:
    """When it began; 0 when it does not say so in the agreed form."""
    said = text(document.get("measurement_start_time"), 32) or text(
        document.get("test_start_time"), 32
    )
    try:
        moment = datetime.fromisoformat(said.rstrip("Z").replace("T", " ")[:19] + "+00:00")
    except ValueError:
        return 0
    return int(moment.astimezone(UTC).timestamp()) * 1_000_000


def vantage(document: Json) -> Vantage:
    kind = text(obj(document.get("annotations")).get("network_type"), 32)
    said = document.get("probe_asn")
    asn = _ASN.fullmatch(text(said, 16) or str(whole(said)))
    country = text(document.get("probe_cc"), 2).upper()
    return Vantage(
        country=country if _CC.fullmatch(country) else "ZZ",
        asn=int(asn.group(1)) % 2**32 if asn else 0,
        access=ACCESS.get(kind, Access.UNKNOWN),
    )


def link(document: Json, seen: Sequence[Observation], *, helper: bool = False) -> Link:
    """Online when anything was answered, or when the run is known to have begun online.

    OONI's probe asks no anchors. It does look itself up before it measures, and gives up when it
    cannot: a network's number, or the id of a report, tells that there was a link to begin with.
    Where not even a lookup was answered since, it may be gone.
    """
    if helper or any(_answered(x) for x in seen):
        return Link.ONLINE
    if any(x.operation is Operation.RESOLVE for x in seen):
        return Link.UNKNOWN
    place = vantage(document)
    if place.asn or text(document.get("report_id"), 256):
        return Link.ONLINE
    return Link.UNKNOWN


def _answered(seen: Observation) -> bool:
    if seen.failure is None:
        return seen.operation is not Operation.RESOLVE or bool(seen.dns and seen.dns.addresses)
    return seen.failure not in NO_LINK


def measurement(
    document: Json,
    seen: Sequence[Observation],
    *,
    experiment: str,
    target: str,
    service: str = "",
    online: Link = Link.ONLINE,
) -> Measurement:
    return Measurement(
        experiment=experiment,
        experiment_version=1,
        target=target,
        service=service,
        started_us=started_us(document),
        monotonic_us=0,
        boot="",
        runtime_us=microseconds(document.get("test_runtime")),
        epoch="",
        link=online,
        observations=tuple(seen),
    )


def taken(document: Json, of: Measurement) -> Taken:
    """Under an id that is the same at every import."""
    marks = ("measurement_uid", "id", "report_id", "input", "measurement_start_time", "probe_asn")
    name = "\0".join(str(document.get(key) or "") for key in (*marks, "test_name"))
    return Taken(
        id=hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:32],
        position=0,
        received_us=of.started_us,
        nym="",
        prefix="",
        role=Role.VOLUNTEER,
        vantage=vantage(document),
        measurement=of,
    )
