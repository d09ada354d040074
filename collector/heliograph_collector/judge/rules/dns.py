"""Rules on lookups: the resolver's answer and the addresses that it leads to."""

from heliograph.failure import Failure
from heliograph.failure import Operation as Op
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.rules.rule import BLOCKED, UNKNOWN, Rule, failed_step_rule

DNS = (
    Rule(
        "dns.bogon",
        BLOCKED,
        "The resolver answers with private or reserved addresses, the control's with public ones.",
        0.8,
        needs={Feature.BOGON, Feature.CONTROL_RESOLVED},
        lacks={Feature.VERIFIED},
        support=(Feature.OTHERS_RESOLVED, 0.9),
        layer="dns",
        method="bogon",
    ),
    *(
        failed_step_rule(
            f"dns.{name}",
            Op.RESOLVE,
            failure,
            strength,
            says,
            support=(Feature.OTHERS_RESOLVED, backed),
        )
        for name, failure, strength, backed, says in (
            ("bogon_error", Failure.DNS_BOGON_ERROR, 0.8, 0.9, "The resolver returned a bogon."),
            ("nxdomain", Failure.DNS_NXDOMAIN_ERROR, 0.7, 0.9, "The resolver denies the name."),
            ("refused", Failure.DNS_REFUSED_ERROR, 0.7, 0.85, "The resolver refuses this name."),
            ("servfail", Failure.DNS_SERVFAIL_ERROR, 0.5, 0.75, "The resolver fails on this name."),
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
            f"dns.{name}", Op.RESOLVE, failure, strength, says, Feature.OTHERS_RESOLVED
        )
        for name, failure, strength, says in (
            (
                "timeout",
                Failure.GENERIC_TIMEOUT_ERROR,
                0.6,
                "The resolver is silent on this name and another one is not.",
            ),
            (
                "misbehaving",
                Failure.DNS_SERVER_MISBEHAVING,
                0.5,
                "The resolver's answer is malformed and another one's is not.",
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

# These rules come after the connection rules, because a false address makes later steps fail.
MISDIRECTION = (
    Rule(
        "dns.split",
        BLOCKED,
        "Plain lookups agree on an address that neither the control nor any encrypted lookup "
        "gives, and that address does not serve the name.",
        0.7,
        needs={Feature.FAILED, Feature.CONTROL_PASSED, Feature.SPLIT_ANSWERS},
        lacks={Feature.VERIFIED},
        layer="dns",
        method="injected",
    ),
    Rule(
        "dns.split_page",
        BLOCKED,
        "Plain lookups agree on an address that neither the control nor any encrypted lookup "
        "gives, and that address serves another page.",
        0.75,
        needs={Feature.PAGE_FOREIGN, Feature.SPLIT_ANSWERS},
        layer="dns",
        method="injected",
    ),
    Rule(
        "dns.hijack_page",
        BLOCKED,
        "The resolver gives an address that no other source gives, and it serves another page.",
        0.65,
        needs={Feature.PAGE_FOREIGN, Feature.UNKNOWN_ADDRESS},
        lacks={Feature.VALIDATED},
        support=(Feature.PAGE_BLOCK, 0.9),
        layer="dns",
        method="hijack",
    ),
)
