"""Rules on lookups: the resolver's answer and the addresses that it leads to."""

from heliograph.failure import Failure
from heliograph.failure import Operation as Op
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.rules.rule import BLOCKED, UNKNOWN, Rule, feature_set


def _dns_rule(name: str, failure: Failure, says: str, strength: float, backed: float) -> Rule:
    """Build a rule on a lookup that failed here and succeeded at the control.

    `backed` is the strength when another resolver at the vantage got addresses.
    """
    return Rule(
        f"dns.{name}",
        BLOCKED,
        says,
        strength,
        step=Op.RESOLVE,
        failure=failure,
        needs=feature_set(Feature.CONTROL_PASSED),
        support=(Feature.OTHERS_RESOLVED, backed),
    )


DNS = (
    Rule(
        "dns.bogon",
        BLOCKED,
        "The resolver answers with private or reserved addresses, the control's with public ones.",
        0.8,
        needs=feature_set(Feature.BOGON, Feature.CONTROL_RESOLVED),
        lacks=feature_set(Feature.VERIFIED),
        support=(Feature.OTHERS_RESOLVED, 0.9),
        layer="dns",
        method="bogon",
    ),
    _dns_rule("bogon_error", Failure.DNS_BOGON_ERROR, "The agent was told a bogon.", 0.8, 0.9),
    _dns_rule(
        "nxdomain",
        Failure.DNS_NXDOMAIN_ERROR,
        "The resolver denies that the name exists.",
        0.7,
        0.9,
    ),
    _dns_rule("refused", Failure.DNS_REFUSED_ERROR, "The resolver refuses this name.", 0.7, 0.85),
    _dns_rule(
        "servfail", Failure.DNS_SERVFAIL_ERROR, "The resolver fails on this name.", 0.5, 0.75
    ),
    _dns_rule("no_answer", Failure.DNS_NO_ANSWER, "The resolver knows no address.", 0.6, 0.85),
    _dns_rule(
        "injected",
        Failure.DNS_REPLY_WITH_WRONG_QUERY_ID,
        "A reply came that answers no query of ours.",
        0.7,
        0.85,
    ),
    Rule(
        "dns.timeout",
        BLOCKED,
        "The resolver is silent on this name and another one is not.",
        0.6,
        step=Op.RESOLVE,
        failure=Failure.GENERIC_TIMEOUT_ERROR,
        needs=feature_set(Feature.CONTROL_PASSED, Feature.OTHERS_RESOLVED),
    ),
    Rule(
        "dns.misbehaving",
        BLOCKED,
        "The resolver answers nonsense and another one does not.",
        0.5,
        step=Op.RESOLVE,
        failure=Failure.DNS_SERVER_MISBEHAVING,
        needs=feature_set(Feature.CONTROL_PASSED, Feature.OTHERS_RESOLVED),
    ),
    Rule(
        "dns.trouble",
        UNKNOWN,
        "The resolver did not do its work, and nothing says that it was this name's fault.",
        step=Op.RESOLVE,
    ),
)

# These rules come after the connection rules, because a false address makes later steps fail.
MISDIRECTION = (
    Rule(
        "dns.split",
        BLOCKED,
        "Plain lookups agree on an address that neither the control nor any sealed lookup knows, "
        "and what is there does not serve the name.",
        0.7,
        needs=feature_set(Feature.FAILED, Feature.CONTROL_PASSED, Feature.SPLIT_ANSWERS),
        lacks=feature_set(Feature.VERIFIED),
        layer="dns",
        method="injected",
    ),
    Rule(
        "dns.split_page",
        BLOCKED,
        "Plain lookups agree on an address that neither the control nor any sealed lookup knows, "
        "and another page is there.",
        0.75,
        needs=feature_set(Feature.PAGE_FOREIGN, Feature.SPLIT_ANSWERS),
        layer="dns",
        method="injected",
    ),
    Rule(
        "dns.hijack_page",
        BLOCKED,
        "The resolver leads to a host nobody else names, and another page is there.",
        0.65,
        needs=feature_set(Feature.PAGE_FOREIGN, Feature.UNKNOWN_ADDRESS),
        lacks=feature_set(Feature.VALIDATED),
        support=(Feature.PAGE_BLOCK, 0.9),
        layer="dns",
        method="hijack",
    ),
)
