"""Rules on TLS handshakes: certificates, and failures after the ClientHello."""

from heliograph.failure import Failure
from heliograph.failure import Operation as Op
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.rules.rule import BLOCKED, UNKNOWN, Rule, failed_step_rule

TLS = (
    Rule(
        "tls.own_trust",
        UNKNOWN,
        "It is the server's own key: the vantage's trust store or clock is at fault.",
        step=Op.TLS_HANDSHAKE,
        needs={Feature.SAME_KEY},
    ),
    Rule(
        "tls.own_clock",
        UNKNOWN,
        "The usual issuer, and not valid now: most likely the vantage's clock.",
        step=Op.TLS_HANDSHAKE,
        failure=Failure.SSL_INVALID_CERTIFICATE,
        needs={Feature.SAME_ISSUER},
    ),
    Rule(
        "tls.own_interceptor",
        UNKNOWN,
        "Local software or a local middlebox of the vantage decrypts its TLS.",
        step=Op.TLS_HANDSHAKE,
        needs={Feature.OWN_INTERCEPTOR},
    ),
    Rule(
        "dns.hijack_unkept",
        BLOCKED,
        "The resolver gives an address that no other source gives, and its certificate, which was "
        "not stored, fails for the control too, or is the only one of the name that fails.",
        0.75,
        step=Op.TLS_HANDSHAKE,
        needs={
            Feature.CONTROL_PASSED,
            Feature.UNKNOWN_ADDRESS,
            Feature.NO_CHAIN,
            Feature.FALSE_ADDRESS,
        },
        lacks={Feature.VALIDATED},
        layer="dns",
        method="hijack",
    ),
    Rule(
        "tls.no_chain",
        UNKNOWN,
        "The certificate did not verify, and it was not stored.",
        step=Op.TLS_HANDSHAKE,
        needs={Feature.NO_CHAIN},
    ),
    *(
        Rule(
            f"dns.hijack_{name}",
            BLOCKED,
            f"The resolver gives an address that no other source gives; its certificate {says}.",
            0.85,
            step=Op.TLS_HANDSHAKE,
            failure=failure,
            needs={Feature.CONTROL_PASSED, Feature.UNKNOWN_ADDRESS},
            lacks={Feature.VALIDATED},
            support=(Feature.OTHERS_RESOLVED, 0.9),
            layer="dns",
            method="hijack",
        )
        for name, failure, says in (
            ("authority", Failure.SSL_UNKNOWN_AUTHORITY, "has an untrusted issuer"),
            ("hostname", Failure.SSL_INVALID_HOSTNAME, "is for another name"),
            ("certificate", Failure.SSL_INVALID_CERTIFICATE, "is not valid"),
        )
    ),
    Rule(
        "tls.interception",
        BLOCKED,
        "A certificate for this very name, by an untrusted issuer: a middlebox decrypts the "
        "connection. The issuer is stored.",
        0.9,
        step=Op.TLS_HANDSHAKE,
        failure=Failure.SSL_UNKNOWN_AUTHORITY,
        needs={Feature.CONTROL_PASSED, Feature.FORGED_FOR_HOST},
        method="tls_interception",
    ),
    *(
        failed_step_rule(f"tls.{name}", Op.TLS_HANDSHAKE, failure, strength, says)
        for name, failure, strength, says in (
            (
                "unknown_authority",
                Failure.SSL_UNKNOWN_AUTHORITY,
                0.9,
                "Another certificate than the control's, from an untrusted issuer.",
            ),
            (
                "wrong_hostname",
                Failure.SSL_INVALID_HOSTNAME,
                0.7,
                "A certificate for another name, where the control gets the right one.",
            ),
            (
                "invalid_certificate",
                Failure.SSL_INVALID_CERTIFICATE,
                0.6,
                "A certificate that is not valid, where the control's is.",
            ),
            ("reset_after_hello", Failure.CONNECTION_RESET, 0.85, "Reset after the ClientHello."),
            ("eof_after_hello", Failure.EOF_ERROR, 0.75, "Closed after the ClientHello."),
            (
                "timeout_after_hello",
                Failure.GENERIC_TIMEOUT_ERROR,
                0.75,
                "Silence after the ClientHello.",
            ),
            ("alert", Failure.SSL_FAILED_HANDSHAKE, 0.5, "An alert that the control does not get."),
        )
    ),
)
