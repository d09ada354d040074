"""Rules on TLS handshakes: certificates, and failures after the ClientHello."""

from heliograph.failure import Failure
from heliograph.failure import Operation as Op
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.rules.rule import BLOCKED, UNKNOWN, Rule, feature_set


def _tls_rule(name: str, failure: Failure, says: str, strength: float) -> Rule:
    return Rule(
        f"tls.{name}",
        BLOCKED,
        says,
        strength,
        step=Op.TLS_HANDSHAKE,
        failure=failure,
        needs=feature_set(Feature.CONTROL_PASSED),
    )


TLS = (
    Rule(
        "tls.own_trust",
        UNKNOWN,
        "It is the server's own key: the vantage's trust store or clock is at fault.",
        step=Op.TLS_HANDSHAKE,
        needs=feature_set(Feature.SAME_KEY),
    ),
    Rule(
        "tls.own_clock",
        UNKNOWN,
        "The usual issuer, and not valid now: most likely the vantage's clock.",
        step=Op.TLS_HANDSHAKE,
        failure=Failure.SSL_INVALID_CERTIFICATE,
        needs=feature_set(Feature.SAME_ISSUER),
    ),
    Rule(
        "tls.own_interceptor",
        UNKNOWN,
        "A program or box of the vantage's own house opens its TLS.",
        step=Op.TLS_HANDSHAKE,
        needs=feature_set(Feature.OWN_INTERCEPTOR),
    ),
    Rule(
        "dns.hijack_unkept",
        BLOCKED,
        "The resolver leads to a host nobody else names, and its certificate, which was not kept, "
        "fails for the control too, or fails alone of all that the name has.",
        0.75,
        step=Op.TLS_HANDSHAKE,
        needs=feature_set(
            Feature.CONTROL_PASSED, Feature.UNKNOWN_ADDRESS, Feature.NO_CHAIN, Feature.FALSE_ADDRESS
        ),
        lacks=feature_set(Feature.VALIDATED),
        layer="dns",
        method="hijack",
    ),
    Rule(
        "tls.no_chain",
        UNKNOWN,
        "The certificate did not verify, and it was not kept.",
        step=Op.TLS_HANDSHAKE,
        needs=feature_set(Feature.NO_CHAIN),
    ),
    *(
        Rule(
            f"dns.hijack_{name}",
            BLOCKED,
            f"The resolver leads to a host nobody else names, and its certificate {says}.",
            0.85,
            step=Op.TLS_HANDSHAKE,
            failure=word,
            needs=feature_set(Feature.CONTROL_PASSED, Feature.UNKNOWN_ADDRESS),
            lacks=feature_set(Feature.VALIDATED),
            support=(Feature.OTHERS_RESOLVED, 0.9),
            layer="dns",
            method="hijack",
        )
        for name, word, says in (
            ("authority", Failure.SSL_UNKNOWN_AUTHORITY, "is nobody's"),
            ("hostname", Failure.SSL_INVALID_HOSTNAME, "is for another name"),
            ("certificate", Failure.SSL_INVALID_CERTIFICATE, "is not valid"),
        )
    ),
    Rule(
        "tls.interception",
        BLOCKED,
        "A certificate made out to this very name, by an issuer that nobody trusts: somebody in "
        "between opens the connection. The issuer is kept.",
        0.9,
        step=Op.TLS_HANDSHAKE,
        failure=Failure.SSL_UNKNOWN_AUTHORITY,
        needs=feature_set(Feature.CONTROL_PASSED, Feature.FORGED_FOR_HOST),
        method="tls_interception",
    ),
    _tls_rule(
        "unknown_authority",
        Failure.SSL_UNKNOWN_AUTHORITY,
        "Another certificate than the control's, from an issuer that nobody trusts.",
        0.9,
    ),
    _tls_rule(
        "wrong_hostname",
        Failure.SSL_INVALID_HOSTNAME,
        "A certificate for another name, where the control gets the right one.",
        0.7,
    ),
    _tls_rule(
        "invalid_certificate",
        Failure.SSL_INVALID_CERTIFICATE,
        "A certificate that is not valid, where the control's is.",
        0.6,
    ),
    _tls_rule(
        "reset_after_hello", Failure.CONNECTION_RESET, "Reset as soon as the name was sent.", 0.85
    ),
    _tls_rule("eof_after_hello", Failure.EOF_ERROR, "Closed as soon as the name was sent.", 0.75),
    _tls_rule(
        "timeout_after_hello",
        Failure.GENERIC_TIMEOUT_ERROR,
        "Silence after the name was sent.",
        0.75,
    ),
    _tls_rule(
        "alert", Failure.SSL_FAILED_HANDSHAKE, "An alert that the control does not get.", 0.5
    ),
)
