"""Comparison of one name's answers from several resolvers and transports.

Endpoints:
    system, udp, tcp, dot, doh: The name, asked by each transport.
    nowhere, nowhere_neutral: The name and a neutral name, asked at an address without DNS.
    whoami_system, whoami_udp: Names whose answer is the address of the asking resolver.

A transparent proxy that answers for resolvers is not blocking. Addresses that merely differ prove
nothing, because answers differ by geography.
"""

from collections.abc import Iterable

from heliograph.failure import Failure
from heliograph.observation import Dns, Measurement, Observation
from heliograph_collector.judge.comparisons.table import (
    Comparison,
    ComparisonRule,
    Facts,
    select_observations,
)
from heliograph_collector.judge.dns_features import NXDOMAIN, is_bogon
from heliograph_collector.judge.endpoint_view import ENCRYPTED_ENGINES as ENCRYPTED
from heliograph_collector.judge.endpoint_view import has_near_pair
from heliograph_collector.judge.failure_semantics import LOCAL_FAILURES, find_method
from heliograph_collector.judge.own_filter import is_own_answer
from heliograph_collector.judge.rules.rule import BLOCKED, REACHABLE, UNKNOWN

PLAIN = ("system", "udp")
GROUPS = {"plain": PLAIN, "sealed": ENCRYPTED, "other": ("udp", "tcp", *ENCRYPTED)}
# A resolver that is slow, broken or bad at DNSSEC is no liar unless an encrypted one does better.
FAULTS = ("servfail", "misbehaving", "timeout")
DENIALS = ("nxdomain", "no_answer", "refused", "servfail", "bogon")
SILENT_FAILURES = (
    Failure.GENERIC_TIMEOUT_ERROR,
    Failure.CONNECTION_REFUSED,
    Failure.HOST_UNREACHABLE,
)
LIES = ("nxdomain", "bogon", "no_answer", "refused", "servfail", "misbehaving", "timeout")
# Assumed, as is 0.7 for the others.
STRENGTHS = {"nxdomain": 0.9, "bogon": 0.95, "refused": 0.8, "no_answer": 0.8}

RULES = (
    ComparisonRule(
        "dns_integrity.own_filter",
        UNKNOWN,
        "A filter of the user's or the house's own answers for the system: with an address that "
        "is none, or from a table of hosts.",
        needs="own_filter",
        layer="dns",
        method="own_filter",
    ),
    ComparisonRule(
        "dns_integrity.nowhere",
        BLOCKED,
        "An address that serves no DNS answers for the name, and not for a neutral name.",
        0.95,
        needs="nowhere_answered nowhere_neutral_silent control_nowhere_silent "
        "control_plain_resolved",  # a control that could query no resolver is silent too
        layer="dns",
        method="injected",
    ),
    ComparisonRule(
        "dns_integrity.two_replies",
        BLOCKED,
        "Two replies to one query contradict each other; the control's do not.",
        0.85,
        needs="contradicted control_plain_resolved",
        lacks="control_contradicted nowhere_neutral_answered",
        layer="dns",
        method="injected",
    ),
    *(
        ComparisonRule(
            f"dns_integrity.udp_{lie}",
            BLOCKED,
            f"A public resolver says {lie} in cleartext and gives addresses when encrypted.",
            STRENGTHS.get(lie, 0.7),
            needs=f"udp:{lie} sealed_resolved control_udp_resolved",
            lacks="udp_resolved system_resolved nowhere_neutral_answered sealed_denied",
            layer="dns",
            method="injected" if lie != "timeout" else "dropped",
        )
        for lie in LIES
    ),
    ComparisonRule(
        "dns_integrity.lies_about_all",
        UNKNOWN,
        "The system's resolver denies or misdirects a neutral name as well.",
        needs="system_failed neutral_denied",
        layer="dns",
    ),
    *(
        ComparisonRule(
            f"dns_integrity.system_{lie}",
            BLOCKED,
            f"The system's resolver says {lie}; others here and the control's give addresses.",
            STRENGTHS.get(lie, 0.7),
            needs=f"system:{lie} {'sealed' if lie in FAULTS else 'other'}_resolved "
            "control_system_resolved",
            lacks="system_resolved sealed_denied",
            layer="dns",
            method=lie,
        )
        for lie in LIES
    ),
    ComparisonRule(
        "dns_integrity.proxy",
        UNKNOWN,
        "A proxy answers port 53 for all servers, and nothing confirms its answer.",
        needs="proxied",
        lacks="plain_confirmed",
        layer="dns",
        method="transparent_proxy",
    ),
    ComparisonRule(
        "dns_integrity.honest_proxy",
        REACHABLE,
        "A proxy answers port 53 for all servers, with the answers of others.",
        0.6,
        needs="proxied plain_confirmed",
        layer="dns",
        method="transparent_proxy",
    ),
    ComparisonRule(
        "dns_integrity.no_sealed",
        UNKNOWN,
        "Encrypted lookups fail here and work at the control: they fail, not the name.",
        needs="plain_resolved sealed_failed control_sealed_resolved",
        lacks="sealed_resolved",
        layer="dns",
        method="sealed_dns_fails",
    ),
    ComparisonRule(
        "dns_integrity.agree",
        REACHABLE,
        "The system's answer agrees with an encrypted lookup or with the control.",
        0.8,
        needs="system_confirmed",
        lacks="contradicted nowhere_answered",
    ),
    ComparisonRule(
        "dns_integrity.doubt",
        UNKNOWN,
        "The answers differ as geography makes them differ, or too few arrived.",
    ),
)


class DnsIntegrityComparison(Comparison):
    def collect_facts(self, measurement: Measurement) -> Facts:
        facts: Facts = {}
        for label in (*PLAIN, "tcp", *ENCRYPTED):
            _add_lookup_facts(facts, label, _select_lookups(measurement, label))
        for group, labels in GROUPS.items():
            for end in ("resolved", "failed"):
                indices = [i for label in labels for i in facts.get(f"{label}_{end}", ())]
                if indices:
                    facts[f"{group}_{end}"] = tuple(indices)
        sealed_denied = [
            i for label in ENCRYPTED for lie in DENIALS for i in facts.get(f"{label}:{lie}", ())
        ]
        neutral: Facts = {}
        _add_lookup_facts(neutral, "neutral", _select_lookups(measurement, "neutral"))
        denied = [i for lie in DENIALS for i in neutral.get(f"neutral:{lie}", ())]
        if denied:
            facts["neutral_denied"] = tuple(denied)
        if sealed_denied:
            facts["sealed_denied"] = tuple(sealed_denied)
        for label in ("nowhere", "nowhere_neutral"):
            facts |= _collect_nowhere(label, _select_lookups(measurement, label))
        return facts

    def extract_facts(self, measurement: Measurement, control: Measurement | None) -> Facts:
        facts = Comparison.extract_facts(self, measurement, control)
        system, udp = ([x for _, x in select_observations(measurement, label)] for label in PLAIN)
        trusted = _select_addresses(measurement, ENCRYPTED) | (
            _select_addresses(control, (*PLAIN, *ENCRYPTED)) if control else set()
        )
        is_own = is_own_answer(system, udp, trusted) or _has_private_address(measurement)
        if "system_failed" in facts and is_own:
            facts["own_filter"] = facts["system_failed"]
        for fact, labels in (("system_confirmed", ("system",)), ("plain_confirmed", PLAIN)):
            if has_near_pair(_select_addresses(measurement, labels), trusted):
                facts[fact] = facts.get("plain_resolved", ())
        if "nowhere_answered" in facts and "nowhere_neutral_answered" in facts:
            facts["proxied"] = (*facts["nowhere_answered"], *facts["nowhere_neutral_answered"])
        if control and _has_same_asker(measurement) and not _has_same_asker(control):
            facts["proxied"] = tuple(i for i, _ in select_observations(measurement, "whoami_udp"))
        return facts


def _add_lookup_facts(
    facts: Facts, label: str, lookups: Iterable[tuple[int, Observation, Dns]]
) -> None:
    """Add `LABEL_resolved`, `LABEL_failed`, `LABEL:LIE` and the shared `contradicted`."""
    for index, observation, dns in lookups:
        lies = [a for a in dns.addresses if is_bogon(a)]
        lie = "bogon" if lies and len(lies) == len(dns.addresses) else ""
        if observation.failure is not None:
            lie = find_method(observation.operation, observation.failure)
        end = "resolved" if observation.failure is None and not lie else "failed" if lie else ""
        for fact in filter(None, (f"{label}_{end}" if end else "", lie and f"{label}:{lie}")):
            facts[fact] = (*facts.get(fact, ()), index)
        if _is_contradictory(observation, dns):
            facts["contradicted"] = (*facts.get("contradicted", ()), index)


def _is_contradictory(observation: Observation, dns: Dns) -> bool:
    """Return whether one reply denies the name or is bogus and another has addresses."""
    replies = (
        [(dns.addresses, observation.failure is Failure.DNS_NXDOMAIN_ERROR)]
        if _has_reply(observation)
        else []
    )
    for later in dns.later:
        addresses = tuple(a.data for a in later.answers if a.type in ("A", "AAAA"))
        replies.append((addresses, later.rcode == NXDOMAIN))
    address_replies = [
        addresses for addresses, _ in replies if addresses and not all(map(is_bogon, addresses))
    ]
    denials = [denied or (bool(a) and all(map(is_bogon, a))) for a, denied in replies]
    return bool(address_replies) and any(denials)


def _collect_nowhere(label: str, lookups: list[tuple[int, Observation, Dns]]) -> Facts:
    answered_indices = [
        i for i, observation, dns in lookups if _has_reply(observation) or dns.later
    ]
    if answered_indices:
        return {f"{label}_answered": tuple(answered_indices)}
    silent_indices = [i for i, observation, _ in lookups if observation.failure in SILENT_FAILURES]
    return {f"{label}_silent": tuple(silent_indices)} if silent_indices else {}


def _has_reply(observation: Observation) -> bool:
    """Return whether any reply came, valid or not."""
    return observation.failure is None or observation.failure not in (
        *SILENT_FAILURES,
        *LOCAL_FAILURES,
        Failure.UNKNOWN_FAILURE,
    )


def _has_same_asker(measurement: Measurement) -> bool:
    """Return whether one resolver asks for both the system and the public resolver.

    The answer to a whoami name is the address that asked, so a common answer shows a proxy.
    """
    system_askers, udp_askers = (
        {answer.data for _, _, dns in _select_lookups(measurement, label) for answer in dns.answers}
        for label in ("whoami_system", "whoami_udp")
    )
    return bool(system_askers & udp_askers)


def _has_private_address(measurement: Measurement) -> bool:
    """Return whether encrypted lookups give a private address among others.

    A router's guard against DNS rebinding drops such an answer whole.
    """
    steps = [dns for x in ENCRYPTED for _, _, dns in _select_lookups(measurement, x)]
    return any(map(is_bogon, (a for dns in steps for a in dns.addresses)))


def _select_addresses(measurement: Measurement, labels: Iterable[str]) -> set[str]:
    addresses = {
        a
        for label in labels
        for _, _, dns in _select_lookups(measurement, label)
        for a in dns.addresses
    }
    return {a for a in addresses if not is_bogon(a)}


def _select_lookups(measurement: Measurement, label: str) -> list[tuple[int, Observation, Dns]]:
    """Return the endpoint's lookups except AAAA, each with its index.

    AAAA never counts: about half of all names have no AAAA record, and some servers fail on it.
    """
    return [
        (index, observation, observation.dns)
        for index, observation in select_observations(measurement, label)
        if observation.dns is not None and observation.dns.query_type != "AAAA"
    ]


COMPARISON = DnsIntegrityComparison("dns_integrity", RULES)
