"""Rules on QUIC handshakes and on messages in a named protocol."""

from heliograph.failure import Failure
from heliograph.failure import Operation as Op
from heliograph_collector.judge.rules.rule import UNKNOWN, Rule, failed_step_rule

QUIC = (
    *(
        failed_step_rule(f"quic.{name}", Op.QUIC_HANDSHAKE, failure, strength, says)
        for name, failure, strength, says in (
            ("closed", Failure.CONNECTION_RESET, 0.6, "Ended as soon as the name was sent."),
            ("eof", Failure.EOF_ERROR, 0.6, "Closed as soon as the name was sent."),
            ("alert", Failure.SSL_FAILED_HANDSHAKE, 0.5, "An alert that the control does not get."),
        )
    ),
    Rule(
        "quic.doubt",
        UNKNOWN,
        "No QUIC for this name, or none at all here: that takes a neutral name to compare with.",
        step=Op.QUIC_HANDSHAKE,
    ),
)

PROTOCOL = tuple(
    failed_step_rule(f"protocol.{name}", Op.EXCHANGE, failure, strength, says)
    for name, failure, strength, says in (
        ("refused", Failure.CONNECTION_REFUSED, 0.6, "The message is refused."),
        ("reset", Failure.CONNECTION_RESET, 0.75, "Reset as soon as the protocol was spoken."),
        ("eof", Failure.EOF_ERROR, 0.6, "Closed as soon as the protocol was spoken."),
        ("timeout", Failure.GENERIC_TIMEOUT_ERROR, 0.6, "Silence once the protocol was spoken."),
        ("unreachable", Failure.HOST_UNREACHABLE, 0.6, "Routers report that there is no route."),
        ("foreign", Failure.UNEXPECTED_REPLY, 0.6, "Something else answers in its place."),
    )
)
