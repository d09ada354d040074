"""Rules on connections, and on DNS answers with addresses that do not connect."""

from heliograph.failure import Failure
from heliograph.failure import Operation as Op
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.rules.rule import BLOCKED, UNKNOWN, Rule, feature_set


def _tcp_rule(name: str, failure: Failure, says: str, strength: float) -> Rule:
    """Build a rule on failed connections to addresses that the control connects to."""
    return Rule(
        f"tcp.{name}",
        BLOCKED,
        says,
        strength,
        step=Op.CONNECT,
        failure=failure,
        needs=feature_set(Feature.CONTROL_PASSED, Feature.SHARED_ADDRESS),
        lacks=feature_set(Feature.UNTRIED_ADDRESS),
    )


TCP = (
    Rule(
        "dns.contradicted",
        BLOCKED,
        "One query got replies that cannot both be true, and the one that won leads nowhere.",
        0.8,
        needs=feature_set(
            Feature.FAILED, Feature.CONTROL_PASSED, Feature.CONTRADICTED, Feature.UNKNOWN_ADDRESS
        ),
        layer="dns",
        method="injected",
    ),
    Rule(
        "dns.hijack_dead",
        BLOCKED,
        "The resolver leads to a host nobody else names, which does not answer here; the "
        "addresses that others give work from here.",
        0.65,
        step=Op.CONNECT,
        needs=feature_set(
            Feature.CONTROL_PASSED,
            Feature.UNKNOWN_ADDRESS,
            Feature.SHARED_ADDRESS,
            Feature.OTHERS_WORK,
        ),
        lacks=feature_set(Feature.UNTRIED_ADDRESS),
        layer="dns",
        method="hijack",
    ),
    *(
        Rule(
            f"tcp.somewhere_{name}",
            BLOCKED,
            f"No address {says}; the control got through, and does not tell where.",
            0.5,
            step=Op.CONNECT,
            failure=word,
            needs=feature_set(Feature.CONTROL_PASSED, Feature.CONTROL_ADDRESS_UNKNOWN),
            lacks=feature_set(Feature.UNTRIED_ADDRESS),
        )
        for name, word, says in (
            ("refused", Failure.CONNECTION_REFUSED, "takes the connection"),
            ("reset", Failure.CONNECTION_RESET, "lets the connection stand"),
            ("timeout", Failure.GENERIC_TIMEOUT_ERROR, "answers"),
            ("unreachable", Failure.HOST_UNREACHABLE, "can be reached"),
        )
    ),
    _tcp_rule("refused", Failure.CONNECTION_REFUSED, "Every address refuses.", 0.8),
    _tcp_rule(
        "reset", Failure.CONNECTION_RESET, "Every connection is reset before it stands.", 0.8
    ),
    _tcp_rule("timeout", Failure.GENERIC_TIMEOUT_ERROR, "No address answers.", 0.7),
    _tcp_rule(
        "host_unreachable", Failure.HOST_UNREACHABLE, "Routers say that there is no way.", 0.7
    ),
    Rule(
        "tcp.untried",
        UNKNOWN,
        "Not every address was tried to the end.",
        step=Op.CONNECT,
        needs=feature_set(Feature.UNTRIED_ADDRESS),
    ),
    Rule(
        "tcp.elsewhere",
        UNKNOWN,
        "The addresses that failed are none that the control connected to.",
        step=Op.CONNECT,
    ),
)
