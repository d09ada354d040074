"""Feature extraction: from observations to all that the decision table reads."""

from collections.abc import Iterator
from functools import lru_cache

import msgspec

from heliograph.failure import Failure, Operation
from heliograph.observation import Http, Link
from heliograph.plan import ServiceFunction
from heliograph_collector.judge.certificates import extract_certificate_features
from heliograph_collector.judge.confidence import STALE_US
from heliograph_collector.judge.control_looks import NO_LOOKS, ControlLooks, LookResult
from heliograph_collector.judge.deciding_failure import (
    DecidingFailure,
    find_deciding_failure,
    find_failure_elsewhere,
    has_only_ipv6,
)
from heliograph_collector.judge.dns_features import (
    extract_address_features,
    extract_lookup_features,
    is_teredo,
)
from heliograph_collector.judge.endpoint_view import (
    EMPTY_VIEW,
    ConnectionAttempt,
    EndpointView,
    ObservedStep,
    collect_addresses,
)
from heliograph_collector.judge.failure_semantics import (
    LOCAL_FAILURES,
    OPERATION_DEPTH,
    list_deepest,
)
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.fingerprint_evidence import extract_fingerprint_features
from heliograph_collector.judge.hello_features import extract_hello_features, find_browser_features
from heliograph_collector.judge.measurement_steps import NO_STEPS, MeasurementSteps
from heliograph_collector.judge.own_filter import has_own_filter
from heliograph_collector.judge.page_comparison import is_frozen
from heliograph_collector.judge.page_features import extract_page_features
from heliograph_collector.judge.sides import Sides
from heliograph_collector.model.control_look import VantageProfile

NO_PROFILE = VantageProfile()
FEATURE_BY_LINK = {
    Link.OFFLINE: Feature.OFFLINE,
    Link.CAPTIVE: Feature.CAPTIVE,
    Link.NO_RESOLVER: Feature.NO_RESOLVER,
    Link.DOMESTIC_ONLY: Feature.DOMESTIC_ONLY,
    Link.UNKNOWN: Feature.LINK_UNKNOWN,
}
FEATURE_BY_OPERATION = {
    Operation.RESOLVE: Feature.RESOLVED,
    Operation.CONNECT: Feature.CONNECTED,
    Operation.TLS_HANDSHAKE: Feature.VERIFIED,
    Operation.QUIC_HANDSHAKE: Feature.VERIFIED,
    Operation.HTTP_ROUND_TRIP: Feature.ANSWERED,
    Operation.EXCHANGE: Feature.PROTOCOL_ANSWERED,
}
WEB_PORTS = (80, 443)  # of http and https URLs: RFC 9110, sections 4.2.1 and 4.2.2
# RFC 9110 section 15.6. Not 503: CDNs answer robots with it, and the page is there.
TROUBLE = (500, 502, 504)


class ComparisonInput(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint as observed by the vantage and its control, with their links."""

    vantage: EndpointView
    control: EndpointView = EMPTY_VIEW
    country: str = ""  # of the vantage
    link: Link = Link.UNKNOWN
    not_measured: bool = False
    age_us: int | None = None  # age of the control, None when there is none
    control_link: Link = Link.UNKNOWN
    control_redirected_away: bool = False
    redirect_unfollowed: bool = False
    redirect_endless: bool = False
    looks: ControlLooks = NO_LOOKS
    profile: VantageProfile = NO_PROFILE
    clock_us: int = 0  # of the vantage, as it believed
    has_foreign_resolver: bool = False  # it asks a resolver in another network than its own
    vantage_steps: MeasurementSteps = NO_STEPS  # of its whole measurement
    is_imported: bool = False  # by another program than our agent
    is_page: bool = False  # of a chain of redirects, and no endpoint of a service
    is_redirected: bool = False  # not the first page of its chain
    landing: Http | None = None  # page after a redirect that is not believed
    function: str = ""  # of an endpoint, where its service names any: what people use it for


class Features(msgspec.Struct, frozen=True):
    """Input of the decision table for one endpoint."""

    present: frozenset[Feature]
    deciding_failure: DecidingFailure | None = None
    deepest_indices: tuple[int, ...] = ()  # observations of the deepest success
    contradicting_indices: tuple[int, ...] = ()  # lookups by other resolvers that got addresses


def extract_features(comparison_input: ComparisonInput, *, elsewhere: bool = False) -> Features:
    """Extract all features of an endpoint.

    If `elsewhere`, the deciding failure is the one at the addresses of other resolvers.
    """
    vantage = comparison_input.vantage
    control_doubts = set(find_control_features(comparison_input))
    control = EMPTY_VIEW if control_doubts else comparison_input.control
    looks = NO_LOOKS if control_doubts else comparison_input.looks
    deciding_failure = find_deciding_failure(vantage, control, looks)
    if elsewhere:
        deciding_failure = find_failure_elsewhere(vantage, looks) or deciding_failure
    sides = Sides(
        vantage,
        control,
        looks,
        comparison_input.profile,
        comparison_input.has_foreign_resolver,
        comparison_input.vantage_steps,
        comparison_input.is_imported,
        comparison_input.landing,
    )
    present = {
        *find_vantage_features(comparison_input),
        *find_ipv6_features(vantage, control),
        *_find_progress_features(vantage, control, deciding_failure),
        *control_doubts,
        *_compare_with_control(sides, deciding_failure),
        *extract_lookup_features(sides),
        *extract_address_features(sides, deciding_failure),
        *extract_certificate_features(sides, deciding_failure, comparison_input.clock_us),
        *extract_hello_features(sides, deciding_failure),
        *find_endpoint_browser_features(comparison_input),
        *extract_page_features(sides),
        *extract_fingerprint_features(vantage, control, comparison_input.country),
    }
    if comparison_input.is_page and _is_port_closed(
        sides, deciding_failure, is_redirected=comparison_input.is_redirected
    ):
        present.add(Feature.ODD_PORT)
    if _is_odd_answer(sides, present):
        present.update(_find_liar_features(sides))
    contradicting_indices = tuple(
        s.index for s in vantage.other_lookups if s.has_succeeded and collect_addresses((s,))
    )
    return Features(
        frozenset(present), deciding_failure, find_deepest_indices(vantage), contradicting_indices
    )


def _is_port_closed(
    sides: Sides, deciding_failure: DecidingFailure | None, *, is_redirected: bool
) -> bool:
    """Return whether an odd port fails at addresses that accept another port here.

    Offices and schools pass 80 and 443 alone, for every address. Of a port that only a redirect
    named, this is doubted unless a web port of the address fails too.
    """
    if deciding_failure is None or deciding_failure.operation is not Operation.CONNECT:
        return False
    by_address = sides.vantage_steps.attempts_by_address
    return all(
        attempt.port not in (0, *WEB_PORTS)  # 0: an import that names no port
        and (
            any(Operation.CONNECT in a.passed_operations for a in by_address[attempt.address])
            or (is_redirected and not any(map(_is_web_port_closed, by_address[attempt.address])))
        )
        for attempt in deciding_failure.deciding_attempts
    )


def _is_web_port_closed(attempt: ConnectionAttempt) -> bool:
    return attempt.port in WEB_PORTS and Operation.CONNECT not in attempt.passed_operations


def _is_odd_answer(sides: Sides, present: set[Feature]) -> bool:
    """Return whether the answer is unlike others'.

    An address at which the control gets through is no answer of a filter.
    """
    is_stray = Feature.UNKNOWN_ADDRESS in present and Feature.CONTROL_PASSED not in present
    return is_stray or Feature.BOGON in present or not sides.vantage.is_resolved


def _find_liar_features(sides: Sides) -> Iterator[Feature]:
    """Yield who of the vantage's own side may have given an odd answer."""
    if has_own_filter(sides):
        yield Feature.OWN_FILTER
    if sides.profile.sealed_disagrees:
        yield Feature.RESOLVER_LIES


def find_endpoint_browser_features(comparison_input: ComparisonInput) -> Iterator[Feature]:
    if comparison_input.link is not Link.ONLINE:
        return
    is_web = comparison_input.is_page or comparison_input.function == ServiceFunction.WEB
    yield from find_browser_features(
        comparison_input.vantage, comparison_input.profile, is_for_browsers=is_web
    )


def find_control_features(comparison_input: ComparisonInput) -> Iterator[Feature]:
    if comparison_input.age_us is None:
        yield Feature.CONTROL_MISSING
    elif comparison_input.control_link is not Link.ONLINE:
        yield Feature.CONTROL_NOT_ONLINE
    elif comparison_input.age_us > STALE_US:
        yield Feature.CONTROL_STALE
    elif comparison_input.control_redirected_away:
        yield Feature.CONTROL_REDIRECTED_AWAY


def find_vantage_features(comparison_input: ComparisonInput) -> Iterator[Feature]:
    vantage = comparison_input.vantage
    link = Link.CAPTIVE if comparison_input.profile.portal else comparison_input.link
    if link is not Link.ONLINE:
        yield FEATURE_BY_LINK[link]
    if comparison_input.not_measured:
        yield Feature.NOT_MEASURED
    if comparison_input.redirect_unfollowed:
        yield Feature.REDIRECT_UNFOLLOWED
    if comparison_input.redirect_endless:
        yield Feature.REDIRECT_ENDLESS
    if not vantage.lookups and not vantage.attempts:
        yield Feature.NO_STEPS
    if Failure.INTERRUPTED in vantage.failures:
        yield Feature.INTERRUPTED
    if not vantage.failures.isdisjoint(LOCAL_FAILURES) and _has_local_failure(vantage):
        yield Feature.LOCAL_FAILURE


def _has_local_failure(vantage: EndpointView) -> bool:
    """Return whether the vantage's own system failed in a step that is not of IPv6."""
    ipv6_indices = {s.index for a in vantage.attempts if a.is_ipv6 for s in a.steps}
    return any(s.is_local and s.index not in ipv6_indices for s in _list_steps(vantage))


def find_ipv6_features(vantage: EndpointView, control: EndpointView) -> Iterator[Feature]:
    """Yield a feature for IPv6 failures, which a vantage without IPv6 causes itself.

    A failure at an address that only a forger gives is no evidence on the vantage's IPv6.
    """
    if not vantage.failures:
        return
    is_unresolved = not vantage.is_resolved and has_only_ipv6(vantage, control)
    attempts = (a for a in vantage.attempts if a.is_ipv6 and not is_teredo(a.address))
    ipv6_steps = (s for a in attempts for s in a.steps)
    if is_unresolved or any(not s.has_succeeded for s in ipv6_steps):
        yield Feature.IPV6_FAILURE


@lru_cache  # of some ten sets of steps
def list_passed_features(passed: frozenset[Operation]) -> frozenset[Feature]:
    """List the features of the steps that passed."""
    return frozenset([f for operation, f in FEATURE_BY_OPERATION.items() if operation in passed])


def _find_progress_features(
    vantage: EndpointView, control: EndpointView, deciding_failure: DecidingFailure | None
) -> Iterator[Feature]:
    passed = vantage.passed_operations
    yield from list_passed_features(passed)
    if deciding_failure is not None:
        yield Feature.FAILED
    if Failure.UNKNOWN_FAILURE in vantage.failures and any(
        s.observation.failure is Failure.UNKNOWN_FAILURE for s in _list_later_steps(vantage)
    ):
        yield Feature.UNCLEAR_FAILURE
    if is_as_far(vantage, control):
        yield Feature.AS_FAR_AS_CONTROL
    for step in vantage.find_steps(Operation.READ_BODY):
        if step.method == "slow_body":
            yield Feature.SLOW_BODY
        elif step.method == "truncated_body" or (step.method and Operation.TLS_HANDSHAKE in passed):
            yield Feature.TRUNCATED_BODY
    if is_frozen(vantage, control):
        yield Feature.FROZEN


def is_as_far(vantage: EndpointView, control: EndpointView) -> bool:
    has_only_resolved = vantage.depth == OPERATION_DEPTH[Operation.RESOLVE]
    is_cut = has_only_resolved and bool(vantage.own_attempts)
    return vantage.depth >= control.depth > 0 and not is_cut


def _compare_with_control(
    sides: Sides, deciding_failure: DecidingFailure | None
) -> Iterator[Feature]:
    if Operation.READ_BODY in sides.control.passed_operations:
        yield Feature.CONTROL_BODY
    if Operation.RESOLVE in sides.control.passed_operations:
        yield Feature.CONTROL_RESOLVED
    if sides.control.page is not None and sides.control.page[1].status in TROUBLE:
        yield Feature.CONTROL_IN_TROUBLE
    control_failure = find_deciding_failure(sides.control, sides.control)
    if deciding_failure is None:
        if control_failure is not None:
            yield Feature.CONTROL_FAILED
    elif deciding_failure.operation is Operation.RESOLVE:
        yield from _compare_lookups(sides, control_failure)
    else:
        yield from _compare_endpoints(sides, deciding_failure, control_failure)


def _compare_lookups(sides: Sides, control_failure: DecidingFailure | None) -> Iterator[Feature]:
    result = sides.looks.find_lookup_result(sides.vantage.name)
    if result is LookResult.UNSURE:
        return
    if result is LookResult.FAILED:  # the best control's own answer is outdated
        yield Feature.CONTROL_FAILED
    elif Operation.RESOLVE in sides.control.passed_operations:
        yield Feature.CONTROL_PASSED
    elif control_failure is not None and control_failure.operation is Operation.RESOLVE:
        yield Feature.CONTROL_FAILED


def _compare_endpoints(
    sides: Sides, deciding_failure: DecidingFailure, control_failure: DecidingFailure | None
) -> Iterator[Feature]:
    """Compare each failed endpoint with the same endpoint at the controls."""
    operation = deciding_failure.operation
    attempts = deciding_failure.deciding_attempts
    results = {sides.looks.find_result(a, operation) for a in attempts}
    works = any(sides.looks.works_elsewhere(a, operation) for a in attempts)
    if works:
        yield Feature.CONTROL_WORKS
    if LookResult.PASSED in results or LookResult.NEARLY in results:
        yield Feature.CONTROL_PASSED
        if LookResult.PASSED not in results:
            yield Feature.WEAK_LOOK
    elif results == {LookResult.FAILED}:
        yield Feature.DEAD_EDGE if works else Feature.CONTROL_FAILED
    elif (
        LookResult.UNSURE not in results
        and not works
        and control_failure is not None
        and control_failure.depth <= deciding_failure.depth
    ):
        yield Feature.CONTROL_FAILED  # at all addresses that the control's own lookup gave


def _list_later_steps(view: EndpointView) -> list[ObservedStep]:
    """List the steps after connecting, over connections to own addresses."""
    return [s for a in view.own_attempts for s in a.steps if s.operation is not Operation.CONNECT]


def find_deepest_indices(vantage: EndpointView) -> tuple[int, ...]:
    deepest = list_deepest(vantage.passed_operations)
    steps = [(s.index, s.observation) for s in _list_steps(vantage)]
    return tuple([i for i, x in steps if x.failure is None and x.operation in deepest])


def _list_steps(view: EndpointView) -> list[ObservedStep]:
    return [*view.lookups, *[s for a in view.attempts for s in a.steps]]
