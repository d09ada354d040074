"""Rules on QUIC handshakes and on messages in a named protocol."""

from heliograph.failure import Failure
from heliograph.failure import Operation as Op
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.rules.rule import BLOCKED, UNKNOWN, Rule, feature_set

QUIC = (
    *(
        Rule(
            f"quic.{name}",
            BLOCKED,
            says,
            strength,
            step=Op.QUIC_HANDSHAKE,
            failure=word,
            needs=feature_set(Feature.CONTROL_PASSED),
        )
        for name, word, says, strength in (
            ("closed", Failure.CONNECTION_RESET, "Ended as soon as the name was sent.", 0.6),
            ("eof", Failure.EOF_ERROR, "Closed as soon as the name was sent.", 0.6),
            ("alert", Failure.SSL_FAILED_HANDSHAKE, "An alert that the control does not get.", 0.5),
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
    Rule(
        f"protocol.{name}",
        BLOCKED,
        says,
        strength,
        step=Op.EXCHANGE,
        failure=word,
        needs=feature_set(Feature.CONTROL_PASSED),
    )
    for name, word, says, strength in (
        ("refused", Failure.CONNECTION_REFUSED, "The message is turned away.", 0.6),
        ("reset", Failure.CONNECTION_RESET, "Reset as soon as the protocol was spoken.", 0.75),
        ("eof", Failure.EOF_ERROR, "Closed as soon as the protocol was spoken.", 0.6),
        ("timeout", Failure.GENERIC_TIMEOUT_ERROR, "Silence once the protocol was spoken.", 0.6),
        ("unreachable", Failure.HOST_UNREACHABLE, "Routers say that there is no way.", 0.6),
        ("foreign", Failure.UNEXPECTED_REPLY, "Something else answers in its place.", 0.6),
    )
)
