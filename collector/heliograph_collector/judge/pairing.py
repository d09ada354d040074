"""Pairing of a measurement's parts with the parts of its control."""

import re
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urljoin

from heliograph.failure import Operation
from heliograph.observation import Link, Measurement, Observation
from heliograph_collector.judge.control_looks import ControlLooks, ControlSource
from heliograph_collector.judge.endpoint_view import EMPTY_VIEW, EndpointView, build_view
from heliograph_collector.judge.features import ComparisonInput
from heliograph_collector.judge.page_comparison import is_related_host
from heliograph_collector.model.records import ControlView, ReceivedMeasurement

Sources = tuple[ControlSource, ...]

MAX_HOPS = 10  # redirects that the web experiment follows at most

HOP = re.compile(r"(?:redirect-([1-9]\d?))?")  # labels of the web experiment for a chain of pages


def list_endpoint_labels(measurement: Measurement | None) -> tuple[str, ...]:
    """List a service's endpoint labels in order; empty for a page or single target."""
    observations = measurement.observations if measurement else ()
    return tuple(dict.fromkeys(x.endpoint for x in observations if not HOP.fullmatch(x.endpoint)))


def pair_endpoint(
    record: ReceivedMeasurement, control: ControlView, label: str, sources: Sources = ()
) -> ComparisonInput:
    """Pair one endpoint of a service with the same endpoint of the control."""
    vantage_view = build_view(record.measurement.observations, label)
    control_view = build_view(_get_control_observations(control), label)
    return _build_input(record, control, vantage_view, control_view, sources)


def pair_page(
    record: ReceivedMeasurement, control: ControlView, sources: Sources = ()
) -> ComparisonInput:
    """Pair the last believable page of the redirect chain with the control's page.

    A cleartext redirect to a foreign host is believed only when the control was redirected there
    too.
    """
    url = record.measurement.target
    vantage_hops = _build_hops(record.measurement.observations, url)
    control_hops = _build_hops(_get_control_observations(control), url)
    hop_index = 0
    while hop_index + 1 < len(vantage_hops) and (
        _is_believed(vantage_hops[hop_index], vantage_hops[hop_index + 1])
        or _is_same_host(hop_index + 1, vantage_hops, control_hops)
    ):
        hop_index += 1
    vantage_view = vantage_hops[hop_index] if vantage_hops else EMPTY_VIEW
    control_view = control_hops[hop_index] if hop_index < len(control_hops) else EMPTY_VIEW
    is_redirect = vantage_view.page is not None and 300 <= vantage_view.page[1].status < 400
    return replace(
        _build_input(record, control, vantage_view, control_view, sources),
        control_redirected_away=control.measurement is not None
        and hop_index > 0
        and not _is_same_host(hop_index, vantage_hops, control_hops),
        redirect_unfollowed=is_redirect and hop_index + 1 == len(vantage_hops) < len(control_hops),
        redirect_endless=is_redirect and hop_index == MAX_HOPS,
    )


def _build_input(
    record: ReceivedMeasurement,
    control: ControlView,
    vantage_view: EndpointView,
    control_view: EndpointView,
    sources: Sources,
) -> ComparisonInput:
    control_has_ipv4 = any(":" not in address for address in control_view.own_addresses)
    return ComparisonInput(
        vantage=replace(
            vantage_view,
            control_asked_system=bool(control_view.system_lookups),
            control_has_ipv4=control_has_ipv4,
            ipv6_works=_has_working_ipv6(record.measurement.observations),
        ),
        control=replace(control_view, addresses_optional=True),
        looks=ControlLooks(sources, control_view.attempts, control_view.own_addresses),
        profile=control.profile,
        clock_us=record.measurement.started_us,
        link=record.link,
        not_measured=bool(record.measurement.not_measured),
        age_us=control.age_us if control.measurement is not None else None,
        control_link=control.link if control.measurement is not None else Link.UNKNOWN,
    )


def _has_working_ipv6(observations: Sequence[Observation]) -> bool:
    for observation in observations:  # a plain loop: it runs for each endpoint
        end = observation.tcp or observation.udp
        if end is not None and observation.failure is None and ":" in end.address:
            return True
    return False


def _get_control_observations(control: ControlView) -> Sequence[Observation]:
    return control.measurement.observations if control.measurement is not None else ()


def _build_hops(observations: Sequence[Observation], url: str) -> list[EndpointView]:
    """Build one view per page of the chain; a missing page becomes an empty view."""
    depths = [
        int(match.group(1) or 0)
        for observation in observations
        if (match := HOP.fullmatch(observation.endpoint)) is not None
    ]
    hops: list[EndpointView] = []
    for depth in range(max(depths, default=-1) + 1):
        hop = build_view(observations, f"redirect-{depth}" if depth else "", url)
        url = _resolve_next_url(url, hop)
        hops.append(hop)
    return hops


def _resolve_next_url(url: str, hop: EndpointView) -> str:
    try:
        return urljoin(url, hop.page[1].location) if hop.page else ""
    except ValueError:
        return ""


def _is_believed(hop: EndpointView, next_hop: EndpointView) -> bool:
    """Return whether a redirect is authenticated by TLS or stays on the same host."""
    is_secure = Operation.TLS_HANDSHAKE in hop.passed_operations
    return is_secure or (bool(hop.name) and is_related_host(hop.name, next_hop.name))


def _is_same_host(
    hop_index: int, vantage_hops: Sequence[EndpointView], control_hops: Sequence[EndpointView]
) -> bool:
    return (
        hop_index < len(control_hops)
        and vantage_hops[hop_index].name == control_hops[hop_index].name
    )
