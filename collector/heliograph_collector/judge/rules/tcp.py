"""Rules on connections, and on DNS answers with addresses that do not connect."""

from heliograph.failure import Failure
from heliograph.failure import Operation as Op
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.rules.rule import BLOCKED, UNKNOWN, Rule, failed_step_rule

TCP = (
    Rule(
        "dns.contradicted",
        BLOCKED,
        "One query got replies that cannot both be true, and the address that was used does not "
        "serve the name.",
        0.8,
        needs={
            Feature.FAILED,
            Feature.CONTROL_PASSED,
            Feature.CONTRADICTED,
            Feature.UNKNOWN_ADDRESS,
        },
        layer="dns",
        method="injected",
    ),
    Rule(
        "dns.hijack_dead",
        BLOCKED,
        "The resolver gives an address that no other source gives and that does not answer here; "
        "the addresses that others give work from here.",
        0.65,
        step=Op.CONNECT,
        needs={
            Feature.CONTROL_PASSED,
            Feature.UNKNOWN_ADDRESS,
            Feature.SHARED_ADDRESS,
            Feature.OTHERS_WORK,
        },
        lacks={Feature.UNTRIED_ADDRESS},
        layer="dns",
        method="hijack",
    ),
    *(
        failed_step_rule(
            f"tcp.somewhere_{name}",
            Op.CONNECT,
            failure,
            0.5,
            f"No address {says}; the control connected, but does not report its address.",
            Feature.CONTROL_ADDRESS_UNKNOWN,
            lacks={Feature.UNTRIED_ADDRESS},
        )
        for name, failure, says in (
            ("refused", Failure.CONNECTION_REFUSED, "accepts the connection"),
            ("reset", Failure.CONNECTION_RESET, "keeps the connection"),
            ("timeout", Failure.GENERIC_TIMEOUT_ERROR, "answers"),
            ("unreachable", Failure.HOST_UNREACHABLE, "can be reached"),
        )
    ),
    *(
        failed_step_rule(
            f"tcp.{name}",
            Op.CONNECT,
            failure,
            strength,
            says,
            Feature.SHARED_ADDRESS,
            lacks={Feature.UNTRIED_ADDRESS},
        )
        for name, failure, strength, says in (
            ("refused", Failure.CONNECTION_REFUSED, 0.8, "Every address refuses."),
            ("reset", Failure.CONNECTION_RESET, 0.8, "Every new connection is reset."),
            ("timeout", Failure.GENERIC_TIMEOUT_ERROR, 0.7, "No address answers."),
            ("host_unreachable", Failure.HOST_UNREACHABLE, 0.7, "Routers report no route."),
        )
    ),
    Rule(
        "tcp.untried",
        UNKNOWN,
        "Not every address was tried to the end.",
        step=Op.CONNECT,
        needs={Feature.UNTRIED_ADDRESS},
    ),
    Rule(
        "tcp.elsewhere",
        UNKNOWN,
        "The control connected to none of the addresses that failed.",
        step=Op.CONNECT,
    ),
)
