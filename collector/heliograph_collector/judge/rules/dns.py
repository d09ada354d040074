"""Rules on lookups: the resolver's answer and the addresses that it leads to."""

from heliograph.failure import Failure
from heliograph.failure import Operation as Op
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.rules.rule import BLOCKED, UNKNOWN, Rule, failed_step_rule

_NOT_OWN = frozenset(
    {
        *(Feature.VERIFIED, Feature.SEALED_AGREES),
        *(Feature.OWN_INTERCEPTOR, Feature.CLOCK_OFF, Feature.CHAIN_PROVEN),
    }
)
# Somebody else's certificate at a stray address is an old record as often as a notice. Only a host
# that was shown under several names is one of notices.
_NOTICE_HOST = frozenset(
    {
        *(Feature.CONTROL_RESOLVED, Feature.UNKNOWN_ADDRESS, Feature.OTHERS_CONTRADICT),
        *(Feature.FALSE_ADDRESS, Feature.SHARED_LEAF),
    }
)

# A lie of the resolver is found by what cannot be geography. These come before "down": a false
# address fails for the control too.
MISDIRECTION = (
    Rule(
        "dns.bogon",
        BLOCKED,
        "The resolver answers with private or reserved addresses; another lookup of the vantage "
        "and the control's give public ones.",
        0.8,
        needs={Feature.BOGON, Feature.CONTROL_RESOLVED, Feature.OTHERS_CONTRADICT},
        lacks={*_NOT_OWN, Feature.PAGE_SAME},
        support=(Feature.SEALED_RESOLVED, 0.9),
        layer="dns",
        method="bogon",
    ),
    Rule(
        "dns.bogon_alone",
        UNKNOWN,
        "The resolver answers with private or reserved addresses, and no other lookup of the "
        "vantage says otherwise, or the page there is like the control's: a house or an office may "
        "mean its own host.",
        needs={Feature.BOGON},
        lacks={Feature.VERIFIED},
    ),
    Rule(
        "dns.contradicted",
        BLOCKED,
        "One query got replies that cannot both be true, and the address that was used does not "
        "serve the name.",
        0.8,
        needs={
            Feature.FAILED,
            Feature.CONTROL_RESOLVED,
            Feature.CONTRADICTED,
            Feature.UNKNOWN_ADDRESS,
        },
        lacks=_NOT_OWN,
        layer="dns",
        method="injected",
    ),
    Rule(
        "dns.contradicted_page",
        BLOCKED,
        "One query got replies that cannot both be true, and the address that was used serves "
        "another page.",
        0.75,
        needs={Feature.PAGE_FOREIGN, Feature.CONTRADICTED, Feature.UNKNOWN_ADDRESS},
        lacks={*_NOT_OWN, Feature.VALIDATED},
        layer="dns",
        method="injected",
    ),
    Rule(
        "dns.hijack_dead",
        BLOCKED,
        "The resolver gives an address that no other source gives and that does not answer here, "
        "but does for the control; the addresses that others give work from here.",
        0.65,
        step=Op.CONNECT,
        needs={
            Feature.CONTROL_PASSED,
            Feature.CONTROL_RESOLVED,
            Feature.UNKNOWN_ADDRESS,
            Feature.OTHERS_WORK,
        },
        lacks={*_NOT_OWN, Feature.UNTRIED_ADDRESS},
        layer="dns",
        method="hijack",
    ),
    Rule(
        "dns.split",
        BLOCKED,
        "Plain lookups agree on an address that neither the control nor any encrypted lookup "
        "gives, and that address does not serve the name here, but does for the control.",
        0.7,
        needs={Feature.FAILED, Feature.CONTROL_PASSED, Feature.SPLIT_ANSWERS},
        lacks=_NOT_OWN,
        layer="dns",
        method="injected",
    ),
    Rule(
        "dns.split_page",
        BLOCKED,
        "Plain lookups agree on an address that neither the control nor any encrypted lookup "
        "gives, and a known block page is there.",
        0.75,
        needs={Feature.PAGE_BLOCK, Feature.SPLIT_ANSWERS},
        lacks=_NOT_OWN,
        layer="dns",
        method="injected",
    ),
    Rule(
        "dns.hijack_page",
        BLOCKED,
        "The resolver gives an address that no other source gives, and a known block page is "
        "there.",
        0.9,
        needs={Feature.PAGE_BLOCK, Feature.UNKNOWN_ADDRESS},
        lacks={*_NOT_OWN, Feature.VALIDATED},
        layer="dns",
        method="hijack",
    ),
    Rule(
        "dns.hijack_notice",
        BLOCKED,
        "The resolver gives an address that no other source gives, and a page is there with the "
        "words of a ban by an authority, which no list has.",
        0.6,
        needs={Feature.PAGE_NOTICE, Feature.UNKNOWN_ADDRESS},
        lacks={*_NOT_OWN, Feature.VALIDATED},
        layer="dns",
        method="hijack",
    ),
    Rule(
        "dns.hijack_barred",
        BLOCKED,
        "The resolver gives an address that no other source gives, and another lookup contradicts "
        "it; a short page there names an authority or a law, and shows nothing of the site.",
        0.55,
        needs={
            *(Feature.AUTHORITY_NAMED, Feature.UNKNOWN_ADDRESS),
            *(Feature.OTHERS_CONTRADICT, Feature.CONTROL_RESOLVED),
        },
        lacks={*_NOT_OWN, Feature.VALIDATED},
        layer="dns",
        method="hijack",
    ),
    Rule(
        "dns.hijack_host",
        BLOCKED,
        "The resolver gives an address that no other source gives; the host there shows another "
        "page, and a certificate that the network shows under several names.",
        0.7,
        needs={*_NOTICE_HOST, Feature.PAGE_FOREIGN},
        lacks={*_NOT_OWN, Feature.VALIDATED},
        layer="dns",
        method="hijack",
    ),
    Rule(
        "dns.split_authority",
        BLOCKED,
        "Plain lookups of two resolvers agree on an address that neither the control nor any "
        "encrypted lookup gives, and its host shows everybody a certificate that nobody trusts.",
        0.75,
        step=Op.TLS_HANDSHAKE,
        failure=Failure.SSL_UNKNOWN_AUTHORITY,
        needs={Feature.SPLIT_ANSWERS, Feature.UNKNOWN_ADDRESS, Feature.FALSE_ADDRESS},
        lacks={*_NOT_OWN, Feature.VALIDATED, Feature.SAME_KEY},
        layer="dns",
        method="hijack",
    ),
    *(
        Rule(
            f"dns.hijack_{name}",
            BLOCKED,
            f"The resolver gives an address that no other source gives; its certificate {says}, "
            "and the network shows it under several names.",
            0.85,
            step=Op.TLS_HANDSHAKE,
            failure=failure,
            needs=_NOTICE_HOST,
            lacks={*_NOT_OWN, *more, Feature.VALIDATED, Feature.SAME_KEY},
            support=(Feature.SEALED_RESOLVED, 0.9),
            layer="dns",
            method="hijack",
        )
        for name, failure, says, *more in (
            ("authority", Failure.SSL_UNKNOWN_AUTHORITY, "has an untrusted issuer"),
            ("hostname", Failure.SSL_INVALID_HOSTNAME, "is for another name"),
            (
                "certificate",
                Failure.SSL_INVALID_CERTIFICATE,
                "is not valid",
                Feature.SAME_ISSUER,
            ),
        )
    ),
)

DNS = (
    Rule(
        "dns.no_route",
        UNKNOWN,
        "The vantage's own system could ask no other resolver: it had no way out.",
        step=Op.RESOLVE,
        needs={Feature.NO_ROUTE},
    ),
    Rule(
        "dns.sealed_agrees",
        UNKNOWN,
        "An encrypted lookup of the vantage, for which nobody on the path can answer, says the "
        "same: the name's own servers answer this place so, or not at all.",
        step=Op.RESOLVE,
        needs={Feature.SEALED_AGREES},
    ),
    Rule(
        "dns.rebinding_guard",
        UNKNOWN,
        "The name has a private address among others: a router's guard against DNS rebinding drops "
        "such an answer whole.",
        step=Op.RESOLVE,
        needs={Feature.PRIVATE_AMONG_OTHERS},
    ),
    *(
        failed_step_rule(
            f"dns.{name}",
            Op.RESOLVE,
            failure,
            strength,
            says,
            support=(Feature.SEALED_RESOLVED, backed),
        )
        for name, failure, strength, backed, says in (
            ("nxdomain", Failure.DNS_NXDOMAIN_ERROR, 0.7, 0.9, "The resolver denies the name."),
            ("refused", Failure.DNS_REFUSED_ERROR, 0.7, 0.85, "The resolver refuses this name."),
            ("no_answer", Failure.DNS_NO_ANSWER, 0.6, 0.85, "The resolver knows no address."),
            (
                "injected",
                Failure.DNS_REPLY_WITH_WRONG_QUERY_ID,
                0.7,
                0.85,
                "A reply came that answers no query of ours.",
            ),
        )
    ),
    *(
        failed_step_rule(
            f"dns.{name}",
            Op.RESOLVE,
            failure,
            strength,
            says,
            *needs,
            lacks=frozenset({Feature.PLAIN_RESOLVED} if name == "timeout" else ()),
        )
        for name, failure, strength, says, *needs in (
            (
                "bogon_error",
                Failure.DNS_BOGON_ERROR,
                0.9,
                "The resolver returned a bogon; another lookup gives public addresses.",
                Feature.OTHERS_CONTRADICT,
            ),
            (
                "servfail",
                Failure.DNS_SERVFAIL_ERROR,
                0.75,
                "The resolver fails on this name and an encrypted one does not.",
                Feature.SEALED_RESOLVED,
            ),
            (
                "timeout",
                Failure.GENERIC_TIMEOUT_ERROR,
                0.6,
                "Plain resolvers are silent on this name alone, and an encrypted one is not.",
                Feature.SEALED_RESOLVED,
                Feature.RESOLVER_ANSWERS,
            ),
            (
                "misbehaving",
                Failure.DNS_SERVER_MISBEHAVING,
                0.5,
                "The resolver's answer is malformed and an encrypted one's is not.",
                Feature.SEALED_RESOLVED,
            ),
        )
    ),
    Rule(
        "dns.trouble",
        UNKNOWN,
        "The resolver failed, and nothing shows that this name was the cause.",
        step=Op.RESOLVE,
    ),
)
