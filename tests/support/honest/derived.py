"""Derive unblocked cases from real blocks, by one fact that clears the network.

What fails for the control alike, was not tested, or is confirmed by an encrypted lookup is not
blocked. National certificates stay out: they are evidence whatever the control saw.
"""

from collections.abc import Iterable, Iterator

import msgspec

from support.honest.case import Case, Control, Web
from support.honest.ooni_frame import is_failure
from support.honest.web_document import list_ends

CLEARED = ("down", "unknown", "reachable", "partial")
ELSEWHERE = "192.178.50.36"  # an address that no case has
COUNTRIES = ("DE", "FR", "US")


def derive_cases(cases: Iterable[Case]) -> Iterator[Case]:
    """Yield each derived case, which names the case that it must not be worse than."""
    for case in cases:
        if case.right != ("blocked",):
            continue
        for derive in (fail_control_alike, look_nowhere, let_sealed_lookup_agree, fail_peers_alike):
            derived = derive(case)
            if derived is not None:
                yield msgspec.structs.replace(
                    derived,
                    case=f"{case.case}: {derive.__name__.replace('_', ' ')}",
                    kind=f"derived_{derive.__name__}",
                    right=CLEARED,
                    no_worse_than=case.case,
                )


def fail_control_alike(case: Case) -> Case | None:
    """Let the helper meet at each endpoint what the vantage met."""
    if case.kind != "blocked_by_address_or_tls" or case.web is None or case.web.cert:
        return None
    web = case.web
    assert web.control is not None
    failing = dict(list_failing(web))
    control = Control(web.control.dns, {**web.control.ends, **failing}, "unknown_error")
    return _replace_web(case, web, control=control)


def look_nowhere(case: Case) -> Case | None:
    """Let an old helper, which tests no TLS, resolve the name to another address."""
    if case.kind != "blocked_by_address_or_tls" or case.web is None or case.web.cert:
        return None
    web = case.web
    is_tls = all(outcome.startswith("tls") for _, outcome in list_failing(web))
    if web.then or not is_tls:
        return None
    return _replace_web(
        case, web, control=Control(ELSEWHERE), helper="old", probe="0.4", time="2022-03-01 09:00:00"
    )


def let_sealed_lookup_agree(case: Case) -> Case | None:
    """Let every lookup of the vantage fail as the system's did."""
    web = case.web
    if case.kind != "blocked_by_dns" or web is None or isinstance(web.dns, str):
        return None
    failure = web.dns["system"]
    if not is_failure(failure):
        return None
    return _replace_web(case, web, dns=dict.fromkeys(web.dns, failure), ends={})


def fail_peers_alike(case: Case) -> Case | None:
    """Let probes of other countries meet the same failures."""
    if case.kind != "blocked_messengers" or case.messenger is None:
        return None
    peers = dict.fromkeys(COUNTRIES, case.messenger.fails)
    return msgspec.structs.replace(
        case, messenger=msgspec.structs.replace(case.messenger, peers=peers)
    )


def list_failing(web: Web) -> list[tuple[str, str]]:
    """List the endpoints of all hops that failed to connect or to shake hands."""
    ends = (pair for hop in (web, *web.then) for pair in list_ends(hop, web))
    return [(end, outcome) for end, outcome in ends if outcome.startswith(("tcp", "tls"))]


def _replace_web(case: Case, web: Web, **facts: object) -> Case:
    return msgspec.structs.replace(case, web=msgspec.structs.replace(web, **facts))
