"""Rules on connections."""

from heliograph.failure import Failure
from heliograph.failure import Operation as Op
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.rules.rule import UNKNOWN, Rule, failed_step_rule

TCP = (
    Rule(
        "tcp.accepts_others",
        UNKNOWN,
        "The same address and port accepted another connection of this measurement: a SYN carries "
        "no name, so nothing filters this host there. Packets were lost, or the server is busy.",
        step=Op.CONNECT,
        needs={Feature.ACCEPTS_OTHERS},
    ),
    Rule(
        "tcp.all_refused",
        UNKNOWN,
        "Whatever leaves the vantage meets the same refusal, its other resolvers too: a router "
        "refuses everything, and nobody this target.",
        step=Op.CONNECT,
        needs={Feature.ALL_REFUSED},
    ),
    Rule(
        "tcp.odd_port",
        UNKNOWN,
        "Firewalls close odd ports for everything, and no other port of the address fails here.",
        step=Op.CONNECT,
        needs={Feature.ODD_PORT},
    ),
    *(
        failed_step_rule(
            f"tcp.somewhere_{name}",
            Op.CONNECT,
            failure,
            0.5,
            f"No address {says}; the control connected, but does not report its address.",
            Feature.WEAK_LOOK,
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
            lacks={Feature.UNTRIED_ADDRESS, Feature.WEAK_LOOK},
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
        "No control looked at the addresses that failed.",
        step=Op.CONNECT,
    ),
)
