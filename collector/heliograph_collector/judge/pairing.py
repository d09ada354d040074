"""Pairing of a measurement's parts with the parts of its control."""

import re
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import urljoin

import msgspec
from msgspec.structs import replace

from heliograph.failure import Operation
from heliograph.observation import Http, Link, Measurement
from heliograph.plan import APP_PATH
from heliograph_collector.judge.control_looks import ControlLooks, ControlSources
from heliograph_collector.judge.endpoint_view import CACHE_SIZE, EMPTY_VIEW, EndpointView
from heliograph_collector.judge.features import ComparisonInput
from heliograph_collector.judge.measurement_steps import (
    MeasurementSteps,
    group_control_steps,
    group_steps,
)
from heliograph_collector.judge.page_comparison import is_related_host
from heliograph_collector.model.control_look import VantageProfile
from heliograph_collector.model.identity_cache import keep_by_identity
from heliograph_collector.model.records import ControlView, ReceivedMeasurement

MAX_HOPS = 10  # redirects that the web experiment follows at most

HOP = re.compile(r"(?:redirect-([1-9]\d?))?")  # labels of the web experiment for a chain of pages


@keep_by_identity(1_024)  # results of controls, as many as are kept grouped
def list_endpoint_labels(measurement: Measurement | None) -> tuple[str, ...]:
    """List a service's endpoint labels in order; empty for a page or single target."""
    labels = dict.fromkeys([x.endpoint for x in measurement.observations]) if measurement else ()
    return tuple([x for x in labels if _is_endpoint_label(x)])


@lru_cache(CACHE_SIZE)
def _is_endpoint_label(label: str) -> bool:
    return not HOP.fullmatch(label) and not label.startswith(APP_PATH)


class Pairing(msgspec.Struct, frozen=True):
    """A measurement beside its controls, with the steps of each grouped once."""

    record: ReceivedMeasurement
    control: ControlView
    own_steps: MeasurementSteps
    control_steps: MeasurementSteps
    sources: ControlSources
    has_foreign_resolver: bool  # the vantage asks a resolver in another network than its own

    def pair_endpoint(self, label: str) -> ComparisonInput:
        """Pair one endpoint of a service with the same endpoint of the control."""
        control_view = self.control_steps.get_view(label)
        function = self.control.functions.get(label, "")
        return self._build_input(self.own_steps.build_view(label), control_view, function)

    def pair_page(self) -> ComparisonInput:
        """Pair the last believable page of the redirect chain with the control's page.

        A cleartext redirect to a foreign host is believed only when the control was redirected
        there too.
        """
        url = self.record.measurement.target
        vantage_hops = _build_hops(self.own_steps, url)
        control_hops = _build_hops(self.control_steps, url)
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
            self._build_input(vantage_view, control_view),
            is_page=True,
            is_redirected=hop_index > 0,
            landing=_find_landing(vantage_hops[hop_index + 1 :]),
            control_redirected_away=self.control.measurement is not None
            and hop_index > 0
            and not _is_same_host(hop_index, vantage_hops, control_hops),
            redirect_unfollowed=is_redirect
            and hop_index + 1 == len(vantage_hops) < len(control_hops),
            redirect_endless=is_redirect and hop_index == MAX_HOPS,
        )

    def _build_input(
        self, vantage_view: EndpointView, control_view: EndpointView, function: str = ""
    ) -> ComparisonInput:
        has_control = self.control.measurement is not None
        return ComparisonInput(
            vantage=vantage_view.add_context(
                control_asked_system=bool(control_view.system_lookups),
                control_has_ipv4=control_view.has_ipv4,
                ipv6_works=self.own_steps.ipv6_works,
            ),
            control=control_view.as_control,
            looks=ControlLooks(self.sources, control_view.attempts, control_view.own_addresses),
            country=self.record.vantage.country,
            profile=self.control.profile,
            has_foreign_resolver=self.has_foreign_resolver,
            vantage_steps=self.own_steps,
            is_imported=not self.record.pseudonym,  # only our agents have one
            clock_us=self.record.measurement.started_us,
            link=self.record.link,
            not_measured=bool(self.record.measurement.not_measured),
            age_us=self.control.age_us if has_control else None,
            control_link=self.control.link if has_control else Link.UNKNOWN,
            function=function,
        )


def pair_steps(record: ReceivedMeasurement, control: ControlView) -> Pairing:
    """Group the steps of both sides, so that each endpoint or page can be paired.

    Where an imported service is presumed to work and nothing failed, both have the same steps; what
    did not fail is the same in any case.
    """
    own_steps = group_steps(record.measurement)
    has_same_steps = control.measurement is not None and (
        control.measurement.observations == record.measurement.observations
        and control.measurement.certificates == record.measurement.certificates
    )
    control_steps = (
        own_steps if has_same_steps else group_control_steps(control.measurement, own_steps)
    )
    return Pairing(
        record,
        control,
        own_steps,
        control_steps,
        ControlSources(control, control_steps),
        _has_foreign_resolver(record.vantage.asn, control.profile),
    )


def _has_foreign_resolver(own_asn: int, profile: VantageProfile) -> bool:
    """Return whether a vantage asks a resolver in another network than its own.

    Many a provider has several networks; where the profile knows it, its word decides.
    """
    if profile.has_foreign_resolver is not None:
        return profile.has_foreign_resolver
    is_known = profile.resolver_network.startswith("AS") and own_asn != 0
    return is_known and profile.resolver_network != f"AS{own_asn}"


def _build_hops(steps: MeasurementSteps, url: str) -> list[EndpointView]:
    """Build one view per page of the chain; a missing page becomes an empty view."""
    matches = (HOP.fullmatch(label) for label in steps.labels)
    depths = [int(match.group(1) or 0) for match in matches if match is not None]
    hops: list[EndpointView] = []
    for depth in range(max(depths, default=-1) + 1):
        hop = steps.build_view(f"redirect-{depth}" if depth else "", url)
        url = _resolve_next_url(url, hop)
        hops.append(hop)
    return hops


def _resolve_next_url(url: str, hop: EndpointView) -> str:
    try:
        return urljoin(url, hop.page[1].location) if hop.page else ""
    except ValueError:
        return ""


def _find_landing(later_hops: Sequence[EndpointView]) -> Http | None:
    """Return the last page after a redirect that is not believed, None without one."""
    pages = [hop.page[1] for hop in later_hops if hop.page is not None]
    return pages[-1] if pages else None


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
