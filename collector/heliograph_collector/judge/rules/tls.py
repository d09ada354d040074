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
        "tls.proven_chain",
        UNKNOWN,
        "The bytes of the chain, checked again, prove the name by public roots: the vantage's list "
        "of authorities or its clock is at fault.",
        step=Op.TLS_HANDSHAKE,
        needs={Feature.CHAIN_PROVEN},
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
        "tls.clock_off",
        UNKNOWN,
        "The vantage's clock is so wrong that the control's certificate is not valid by it.",
        step=Op.TLS_HANDSHAKE,
        needs={Feature.CLOCK_OFF},
    ),
    Rule(
        "tls.own_interceptor",
        UNKNOWN,
        "Local software or a local middlebox of the vantage decrypts its TLS.",
        step=Op.TLS_HANDSHAKE,
        needs={Feature.OWN_INTERCEPTOR},
    ),
    Rule(
        "tls.no_chain",
        UNKNOWN,
        "The certificate did not verify, and it was not stored.",
        step=Op.TLS_HANDSHAKE,
        needs={Feature.NO_CHAIN},
    ),
    Rule(
        "tls.authority_renewed",
        UNKNOWN,
        "The authority has the name of the service's own, which signed the control's certificate: "
        "a root that was renewed, and that this vantage does not have.",
        step=Op.TLS_HANDSHAKE,
        failure=Failure.SSL_UNKNOWN_AUTHORITY,
        needs={Feature.OWN_AUTHORITY_NAMED},
    ),
    Rule(
        "tls.interception",
        BLOCKED,
        "A certificate for this very name, by an issuer with which the network decrypts TLS: "
        "several of its vantages met it, or it is known as such. The issuer is stored.",
        0.9,
        step=Op.TLS_HANDSHAKE,
        needs={Feature.CONTROL_PASSED, Feature.FORGED_FOR_HOST, Feature.STATE_ISSUER},
        method="tls_interception",
    ),
    *(
        failed_step_rule(
            f"tls.{name}", Op.TLS_HANDSHAKE, failure, strength, says, Feature.STATE_ISSUER
        )
        for name, failure, strength, says in (
            (
                "unknown_authority",
                Failure.SSL_UNKNOWN_AUTHORITY,
                0.9,
                "Another certificate than the control's, by such an issuer.",
            ),
            (
                "invalid_certificate",
                Failure.SSL_INVALID_CERTIFICATE,
                0.6,
                "A certificate by such an issuer that is not valid, where the control's is.",
            ),
        )
    ),
    Rule(
        "tls.private_issuer",
        UNKNOWN,
        "A private issuer signed it, or none that the chain shows to be public, and only this "
        "vantage is known to have met it: a program on the machine, a box of the house or office, "
        "or the network.",
        step=Op.TLS_HANDSHAKE,
        needs={Feature.PRIVATE_ISSUER},
    ),
    Rule(
        "tls.not_renewed",
        UNKNOWN,
        "A certificate that is not valid: of a server that was not renewed, or by the vantage's "
        "clock.",
        step=Op.TLS_HANDSHAKE,
        failure=Failure.SSL_INVALID_CERTIFICATE,
    ),
    Rule(
        "tls.own_hello_filtered",
        UNKNOWN,
        "Our own TLS hello is cut, and browsers' hellos pass on this vantage's network: no block "
        "of people who use a browser.",
        step=Op.TLS_HANDSHAKE,
        needs={Feature.OWN_HELLO_FILTERED},
    ),
    Rule(
        "tls.large_packets",
        UNKNOWN,
        "Silence after the ClientHello, and no handshake with one as large is known to have passed "
        "here about that time: large packets may be lost on the way.",
        step=Op.TLS_HANDSHAKE,
        failure=Failure.GENERIC_TIMEOUT_ERROR,
        needs={Feature.CONTROL_PASSED, Feature.HELLO_MAY_BE_LOST},
    ),
    *(
        failed_step_rule(f"tls.{name}", Op.TLS_HANDSHAKE, failure, strength, says)
        for name, failure, strength, says in (
            (
                "wrong_hostname",
                Failure.SSL_INVALID_HOSTNAME,
                0.7,
                "A certificate for another name, where the control gets the right one.",
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
