"""Import sni_blocking, echcheck and dns_consistency, several tests of one name."""

from dataclasses import replace

from msgspec import UNSET, structs

from heliograph.failure import Failure
from heliograph.observation import Link, Observation
from heliograph_collector.model.records import ControlView
from heliograph_collector.sources.ooni import archival
from heliograph_collector.sources.ooni.archival import Steps, normalize_host
from heliograph_collector.sources.ooni.document import (
    HandshakeRow,
    NameResult,
    OoniDocument,
    QueryRow,
)
from heliograph_collector.sources.ooni.endpoints import import_steps
from heliograph_collector.sources.ooni.envelope import (
    ImportedMeasurement,
    build_measurement,
)
from heliograph_collector.sources.ooni.steps_builder import HopRows, add_hop_steps

# In dns_consistency, a list of resolvers is asked from one place. One that is dead, or that
# refuses strangers, is no evidence on the name.
TELLING_FAILURES = frozenset({Failure.DNS_NXDOMAIN_ERROR, Failure.DNS_BOGON_ERROR})


def read_sni_blocking(document: OoniDocument) -> ImportedMeasurement:
    """Import the comparison of a name with a neutral one at OONI's helper.

    The helper answers any name, with its own certificate (ts-024), so it is presumed to do so.
    """
    keys = document.test_keys
    steps = Steps()
    for label, side in (("target", keys.target), ("neutral", keys.neutral)):
        steps.label = label
        _add_side(steps, side)
    return import_steps(document, "sni", steps, {})


def _add_side(steps: Steps, side: NameResult) -> None:
    hop = HopRows(
        f"https://{side.sni}/",
        queries=side.queries,
        connects=side.tcp_connect,
        handshakes=[_name_handshake(row, side.sni) for row in side.tls_handshakes],
    )
    add_hop_steps(steps, hop)


def _name_handshake(row: HandshakeRow, name: str) -> HandshakeRow:
    """Add the name to a row of before 2020-11, which has none."""
    return structs.replace(row, server_name=row.server_name or name, no_tls_verify=None)


def read_echcheck(document: OoniDocument) -> ImportedMeasurement:
    """Import handshakes without and with the extension, a noise from OONI (ts-039)."""
    keys = document.test_keys
    rows = list(keys.tls_handshakes)
    is_old = not rows and keys.target.failure is not UNSET
    rows += [keys.plain, structs.replace(keys.hidden, echconfig="GREASE")] if is_old else []
    host = HopRows(document.input).host
    steps = Steps()
    for row in rows:
        is_hidden = bool(row.echconfig or row.outer_server_name)
        steps.label = "grease" if is_hidden else "none"
        handshake = structs.replace(_name_handshake(row, host), transaction_id=0)
        add_hop_steps(steps, HopRows(document.input, handshakes=[handshake]))
    steps.observations = [_mark_hidden(x) for x in steps.observations]
    return import_steps(document, "ech", steps, {})


def _mark_hidden(observation: Observation) -> Observation:
    if observation.tls is None or observation.endpoint != "grease":
        return observation
    return replace(observation, tls=replace(observation.tls, ech="grease"))


def read_dns_consistency(document: OoniDocument) -> ImportedMeasurement:
    """Import one lookup by each resolver, with the control resolver's as control."""
    keys = document.test_keys
    own_rows = [row for row in keys.queries if not _is_control(row, keys.control_resolver)]
    control_rows = [row for row in keys.queries if _is_control(row, keys.control_resolver)]
    steps = Steps()
    control_steps = Steps()
    for row in own_rows:
        steps.label = f"resolver-{row.resolver_hostname or row.resolver_address}"[:200]
        control_steps.label = steps.label
        steps.add_all(map(_weaken_failure, _parse_resolver_row(row)))
        for control_row in control_rows[:1]:
            control_steps.add_all(_parse_resolver_row(control_row))
    groups = dict.fromkeys((x.endpoint for x in steps.observations), "resolver")
    imported = import_steps(document, "dns_consistency", steps, groups)
    has_answer = any(row.failure is None and row.answers for row in control_rows)
    control = ControlView(groups=groups)
    if has_answer:
        measured = build_measurement(
            document, control_steps.observations, experiment="dns_consistency", target=""
        )
        control = replace(control, measurement=measured, age_us=0, link=Link.ONLINE)
    return replace(imported, presumed=False, control=control)


def _is_control(row: QueryRow, control_resolver: str) -> bool:
    """Return whether the control resolver was asked; its port may be written or not."""
    resolver = (row.resolver_hostname or row.resolver_address).partition(":")[0]
    return bool(resolver) and resolver == control_resolver.partition(":")[0]


def _parse_resolver_row(row: QueryRow) -> list[Observation]:
    host = normalize_host(HopRows(row.hostname).host or row.hostname)
    return archival.parse_queries(structs.replace(row, engine="udp", hostname=host))


def _weaken_failure(observation: Observation) -> Observation:
    if observation.failure is None or observation.failure in TELLING_FAILURES:
        return observation
    return replace(observation, failure=Failure.UNKNOWN_FAILURE)
