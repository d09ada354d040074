"""Rules on pages: whether a page came and, in cleartext, equals the control's."""

from heliograph.failure import Failure
from heliograph.failure import Operation as Op
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.rules.rule import BLOCKED, UNKNOWN, Rule, feature_set


def _http_rule(
    name: str, failure: Failure, says: str, strength: float, step: Op = Op.HTTP_ROUND_TRIP
) -> Rule:
    return Rule(
        f"http.{name}",
        BLOCKED,
        says,
        strength,
        step=step,
        failure=failure,
        needs=feature_set(Feature.CONTROL_PASSED),
    )


HTTP = (
    Rule(
        "http.not_http_in_tls",
        UNKNOWN,
        "Nonsense within verified TLS comes from the server itself.",
        step=Op.HTTP_ROUND_TRIP,
        failure=Failure.HTTP_REQUEST_FAILED,
        needs=feature_set(Feature.VERIFIED),
    ),
    _http_rule(
        "reset_after_request", Failure.CONNECTION_RESET, "Reset once the request was sent.", 0.7
    ),
    _http_rule("eof_after_request", Failure.EOF_ERROR, "Closed once the request was sent.", 0.6),
    _http_rule(
        "timeout_after_request",
        Failure.GENERIC_TIMEOUT_ERROR,
        "Silence once the request was sent.",
        0.6,
    ),
    _http_rule(
        "not_http", Failure.HTTP_REQUEST_FAILED, "The reply is not HTTP, the control's is.", 0.5
    ),
    _http_rule(
        "reset_in_body", Failure.CONNECTION_RESET, "Reset in a page in clear.", 0.6, Op.READ_BODY
    ),
    Rule(
        "http.frozen",
        BLOCKED,
        "The body came briskly, stopped after some tens of kilobytes and stayed silent, where the "
        "control's went on.",
        0.5,
        step=Op.READ_BODY,
        failure=Failure.GENERIC_TIMEOUT_ERROR,
        needs=feature_set(Feature.FROZEN, Feature.CONTROL_PASSED),
        method="frozen",
    ),
    Rule(
        "http.block_page",
        BLOCKED,
        "A known page of blocking, which the control does not get.",
        0.9,
        needs=feature_set(Feature.PAGE_BLOCK),
        layer="http",
        method="block_page",
    ),
    Rule(
        "http.redirect",
        BLOCKED,
        "A cleartext answer sends to a host that the control is not sent to.",
        0.65,
        needs=feature_set(Feature.PAGE_REDIRECTED),
        layer="http",
        method="redirect",
    ),
    Rule(
        "http.broken_redirect",
        BLOCKED,
        "A cleartext answer sends to no host at all, and the control gets a page.",
        0.4,
        needs=feature_set(Feature.PAGE_BROKEN),
        layer="http",
        method="broken_redirect",
    ),
    Rule(
        "http.legal",
        BLOCKED,
        "The answer is 451, unavailable for legal reasons; the control's is not.",
        0.6,
        needs=feature_set(Feature.PAGE_LEGAL),
        layer="http",
        method="status_451",
    ),
    Rule(
        "http.diff",
        BLOCKED,
        "Another page than the control's: other status or other title, size and text.",
        0.5,
        needs=feature_set(Feature.PAGE_DIFFERENT),
        layer="http",
        method="other_page",
    ),
    Rule(
        "http.antibot",
        UNKNOWN,
        "The server turns robots away.",
        needs=feature_set(Feature.PAGE_ANTIBOT),
    ),
    Rule(
        "http.server_error",
        UNKNOWN,
        "The server is in trouble.",
        needs=feature_set(Feature.PAGE_SERVER_ERROR),
    ),
    Rule(
        "http.parked",
        UNKNOWN,
        "The name is for sale, or was.",
        needs=feature_set(Feature.PAGE_PARKED),
    ),
    Rule(
        "http.filter",
        UNKNOWN,
        "A filter of the kind that schools and offices run as well.",
        needs=feature_set(Feature.PAGE_FILTER),
    ),
    Rule(
        "http.dynamic",
        UNKNOWN,
        "The pages differ, and nothing in them is firm enough to compare.",
        needs=feature_set(Feature.PAGE_DYNAMIC),
    ),
)
