"""One name asked in every way, and of an address where nobody can honestly answer.

Endpoints: `system`, `udp`, `tcp`, `dot`, `doh`; `nowhere` the name asked of an address that serves
no DNS, `nowhere_neutral` a neutral name asked of the same; `whoami_system`, `whoami_udp` names that
answer with who is asking. A transparent proxy that stands in for resolvers blocks nothing by that.
Addresses that merely differ say nothing: geography does that.
"""

from collections.abc import Iterable

from heliograph.failure import Failure
from heliograph.observation import Dns, Measurement, Observation
from heliograph_collector.judge.comparisons.table import (
    BLOCKED,
    REACHABLE,
    UNKNOWN,
    Reading,
    Row,
    Words,
    labelled,
    prefixed,
)
from heliograph_collector.judge.dns_features import NXDOMAIN, bogon
from heliograph_collector.judge.endpoint_view import near
from heliograph_collector.judge.failure_semantics import LOCAL, method_of

PLAIN = ("system", "udp")
SEALED = ("dot", "doh")  # nobody on the path can answer in their place
SILENT = (Failure.GENERIC_TIMEOUT_ERROR, Failure.CONNECTION_REFUSED, Failure.HOST_UNREACHABLE)
LIES = ("nxdomain", "bogon", "no_answer", "refused", "servfail", "misbehaving", "timeout")
STRENGTHS = {"nxdomain": 0.9, "bogon": 0.95, "refused": 0.8, "no_answer": 0.8}

ROWS = (
    Row(
        id="dns_integrity.nowhere",
        state=BLOCKED,
        says="The name is answered in the name of an address that serves no DNS, a neutral one is "
        "not.",
        strength=0.95,
        needs="nowhere_answered nowhere_neutral_silent control_nowhere_silent "
        "control_plain_resolved",  # a control that could ask nobody is silent too
        layer="dns",
        method="injected",
    ),
    Row(
        id="dns_integrity.two_replies",
        state=BLOCKED,
        says="Two replies came to one question and contradict each other; the control's do not.",
        strength=0.85,
        needs="contradicted control_plain_resolved",
        lacks="control_contradicted nowhere_neutral_answered",
        layer="dns",
        method="injected",
    ),
    *(
        Row(
            id=f"dns_integrity.udp_{lie}",
            state=BLOCKED,
            says=f"A public resolver says {lie} in clear and gives addresses when sealed.",
            strength=STRENGTHS.get(lie, 0.7),
            needs=f"udp:{lie} sealed_resolved control_udp_resolved",
            lacks="udp_resolved system_resolved nowhere_neutral_answered",
            layer="dns",
            method="injected" if lie != "timeout" else "dropped",
        )
        for lie in LIES
    ),
    *(
        Row(
            id=f"dns_integrity.system_{lie}",
            state=BLOCKED,
            says=f"The system's resolver says {lie}, others here and the control's know better.",
            strength=STRENGTHS.get(lie, 0.7),
            needs=f"system:{lie} other_resolved control_system_resolved",
            lacks="system_resolved",
            layer="dns",
            method=lie,
        )
        for lie in LIES
    ),
    Row(
        id="dns_integrity.proxy",
        state=UNKNOWN,
        says="Port 53 is answered by somebody in place of everybody, and what he says of the "
        "name was not seen to be right.",
        needs="proxied",
        lacks="plain_confirmed",
        layer="dns",
        method="transparent_proxy",
    ),
    Row(
        id="dns_integrity.honest_proxy",
        state=REACHABLE,
        says="Port 53 is answered by somebody in place of everybody, with what others say too.",
        strength=0.6,
        needs="proxied plain_confirmed",
        layer="dns",
        method="transparent_proxy",
    ),
    Row(
        id="dns_integrity.no_sealed",
        state=UNKNOWN,
        says="Sealed lookups fail here and work at the control: theirs is the trouble, not the "
        "name's.",
        needs="plain_resolved sealed_failed control_sealed_resolved",
        lacks="sealed_resolved",
        layer="dns",
        method="sealed_dns_fails",
    ),
    Row(
        id="dns_integrity.agree",
        state=REACHABLE,
        says="What the system says is what a sealed lookup or the control says.",
        strength=0.8,
        needs="system_confirmed",
        lacks="contradicted nowhere_answered",
    ),
    Row(
        id="dns_integrity.doubt",
        state=UNKNOWN,
        says="The answers differ as geography makes them differ, or too few came.",
    ),
)


def words(here: Measurement, there: Measurement | None) -> Words:
    found = _told(here)
    if there is not None:
        found |= prefixed("control_", _told(there))
    trusted = _addresses(here, SEALED) | (_addresses(there, (*PLAIN, *SEALED)) if there else set())
    for word, labels in (("system_confirmed", ("system",)), ("plain_confirmed", PLAIN)):
        if any(near(a, b) for a in _addresses(here, labels) for b in trusted):
            found[word] = found.get("plain_resolved", ())
    if "nowhere_answered" in found and "nowhere_neutral_answered" in found:
        found["proxied"] = (*found["nowhere_answered"], *found["nowhere_neutral_answered"])
    if _same_asker(here) and there is not None and not _same_asker(there):
        found["proxied"] = tuple(i for i, _ in labelled(here, "whoami_udp"))
    return found


def _told(measurement: Measurement) -> Words:
    found: Words = {}
    for label in (*PLAIN, "tcp", *SEALED):
        _add(found, label, _lookups(measurement, label))
    for word, labels in (
        ("plain", PLAIN),
        ("sealed", SEALED),
        ("other", ("udp", "tcp", *SEALED)),
    ):
        for end in ("resolved", "failed"):
            shown = [i for label in labels for i in found.get(f"{label}_{end}", ())]
            if shown:
                found[f"{word}_{end}"] = tuple(shown)
    for label in ("nowhere", "nowhere_neutral"):
        found |= _nowhere(label, _lookups(measurement, label))
    return found


def _add(found: Words, label: str, lookups: Iterable[tuple[int, Observation, Dns]]) -> None:
    """`LABEL_resolved`, `LABEL_failed` and `LABEL:LIE`; and `contradicted`, for every label."""
    for index, seen, dns in lookups:
        lies = [a for a in dns.addresses if bogon(a)]
        lie = "bogon" if lies and len(lies) == len(dns.addresses) else ""
        if seen.failure is not None:
            lie = method_of(seen.operation, seen.failure)
        end = "resolved" if seen.failure is None and not lie else "failed" if lie else ""
        for word in filter(None, (f"{label}_{end}" if end else "", lie and f"{label}:{lie}")):
            found[word] = (*found.get(word, ()), index)
        if _contradicts(seen, dns):
            found["contradicted"] = (*found.get("contradicted", ()), index)


def _contradicts(seen: Observation, dns: Dns) -> bool:
    """One reply denies the name, or gives what nothing can have, and another gives addresses."""
    replies = [(dns.addresses, seen.failure is Failure.DNS_NXDOMAIN_ERROR)] if _heard(seen) else []
    for later in dns.later:
        addresses = tuple(a.data for a in later.answers if a.type in ("A", "AAAA"))
        replies.append((addresses, later.rcode == NXDOMAIN))
    good = [addresses for addresses, _ in replies if addresses and not all(map(bogon, addresses))]
    bad = [denied or (bool(a) and all(map(bogon, a))) for a, denied in replies]
    return bool(good) and any(bad)


def _nowhere(label: str, lookups: list[tuple[int, Observation, Dns]]) -> Words:
    heard = [i for i, seen, dns in lookups if _heard(seen) or dns.later]
    if heard:
        return {f"{label}_answered": tuple(heard)}
    silent = [i for i, seen, _ in lookups if seen.failure in SILENT]
    return {f"{label}_silent": tuple(silent)} if silent else {}


def _heard(seen: Observation) -> bool:
    """Whether any reply came, good or bad."""
    return seen.failure is None or seen.failure not in (*SILENT, *LOCAL, Failure.UNKNOWN_FAILURE)


def _same_asker(measurement: Measurement) -> bool:
    """The public resolver's questions come from the same network as the system resolver's."""
    one, other = (
        {answer.data for _, _, dns in _lookups(measurement, label) for answer in dns.answers}
        for label in ("whoami_system", "whoami_udp")
    )
    return bool(one & other)


def _addresses(measurement: Measurement, labels: Iterable[str]) -> set[str]:
    found = {
        a for label in labels for _, _, dns in _lookups(measurement, label) for a in dns.addresses
    }
    return {a for a in found if not bogon(a)}


def _lookups(measurement: Measurement, label: str) -> list[tuple[int, Observation, Dns]]:
    """AAAA never counts: half of all names have none, and some servers choke on it."""
    return [
        (index, seen, seen.dns)
        for index, seen in labelled(measurement, label)
        if seen.dns is not None and seen.dns.query_type != "AAAA"
    ]


READING = Reading("dns_integrity", words, ROWS)
