"""Extract only the deciding features of endpoints that few features decide.

Nine of ten endpoints of a day are such. A property test compares their verdicts with those by all
features.
"""

from itertools import chain

from heliograph.failure import HANDSHAKES, Operation
from heliograph_collector.judge.deciding_failure import is_ipv6_counted
from heliograph_collector.judge.dns_features import find_private_features
from heliograph_collector.judge.endpoint_view import EMPTY_VIEW, ConnectionAttempt, EndpointView
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.features import (
    ComparisonInput,
    Features,
    find_control_features,
    find_deepest_indices,
    find_endpoint_browser_features,
    find_ipv6_features,
    find_vantage_features,
    is_as_far,
    list_passed_features,
)
from heliograph_collector.judge.fingerprint_evidence import extract_fingerprint_features
from heliograph_collector.judge.page_features import has_same_page

PAGELESS = frozenset({Operation.RESOLVE, Operation.CONNECT, Operation.EXCHANGE})


def extract_success(comparison_input: ComparisonInput) -> Features | None:
    """Extract the deciding features if every connection passed.

    Returns None if more features are needed. Nearly all endpoints of a day are such, and the rest
    of their features decides nothing: no control refutes a certificate, and an endpoint that went
    as far as the control's is compared in its lookups and its page alone. A page unlike the
    control's and a suspicious lookup get all features.
    """
    vantage = comparison_input.vantage
    passed = vantage.passed_operations
    is_plain = passed and vantage.is_resolved and not vantage.has_failed_attempt
    if not is_plain or comparison_input.redirect_endless:
        return None
    doubts = list(find_control_features(comparison_input))
    present = {*list_passed_features(passed), *doubts, *find_vantage_features(comparison_input)}
    if not passed.isdisjoint(HANDSHAKES):
        present.update(find_endpoint_browser_features(comparison_input))
        return Features(frozenset(present), None, find_deepest_indices(vantage))
    control = EMPTY_VIEW if doubts else comparison_input.control
    has_got_as_far = is_as_far(vantage, control)
    is_same_page = not passed <= PAGELESS and has_same_page(vantage, control)
    is_compared = is_same_page or (passed <= PAGELESS and (doubts or has_got_as_far))
    if not is_compared or _is_answer_odd(comparison_input, control):
        return None
    if is_same_page:
        present.add(Feature.PAGE_SAME)
    if has_got_as_far:
        present.add(Feature.AS_FAR_AS_CONTROL)
    return Features(frozenset(present), None, find_deepest_indices(vantage))


def extract_vain_ipv6(comparison_input: ComparisonInput) -> Features | None:
    """Extract the deciding features if only IPv6 was tried and nothing connected.

    Without lookups and answers nothing else could be compared. Returns None if IPv6 counts, and for
    any other endpoint.
    """
    vantage = comparison_input.vantage
    is_vain = vantage.attempts and not vantage.passed_operations and not vantage.lookups
    if not is_vain or not all(map(_is_ipv6_connect, vantage.attempts)):
        return None
    doubts = list(find_control_features(comparison_input))
    control = EMPTY_VIEW if doubts else comparison_input.control
    if is_ipv6_counted(vantage, control):
        return None
    ipv6_features = set(find_ipv6_features(vantage, control))
    if not ipv6_features:
        return None
    present = {*doubts, *find_vantage_features(comparison_input), *ipv6_features}
    return Features(frozenset(present))


def _is_ipv6_connect(attempt: ConnectionAttempt) -> bool:
    is_connect = len(attempt.steps) == 1 and attempt.steps[0].operation is Operation.CONNECT
    return is_connect and attempt.is_ipv6


def _is_answer_odd(comparison_input: ComparisonInput, control: EndpointView) -> bool:
    """Return whether any answer of a lookup is known or private."""
    vantage = comparison_input.vantage
    known = extract_fingerprint_features(vantage, control, comparison_input.country)
    return any(True for _ in chain(known, find_private_features(vantage, control)))
