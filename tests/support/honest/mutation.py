"""Change what cannot matter to a verdict: names, addresses, the order of rows."""

import json
import re
from collections.abc import Sequence
from functools import partial
from ipaddress import ip_address
from random import Random

import msgspec

from support.honest.case import Case, Web
from support.honest.ooni_frame import Json, host_of, is_failure
from support.honest.score import build_documents
from support.honest.web_document import is_bogon, list_ends

# Addresses of their answers or pages are on public lists.
LISTED = ("blocked_by_dns", "blocked_by_http", "blocks_of_late_years", "chosen_resolvers")
ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")
ROWS = ("queries", "tcp_connect", "tls_handshakes")
ANOTHER = "151.101.193.140"  # an address that no case uses


def change_immaterial_facts(case: Case, random: Random) -> Sequence[Json] | None:
    """Return documents with other names, addresses and orders of rows and peers.

    The order of redirects has a meaning and stays.
    """
    if case.native is not None:
        return None
    own, *peers = build_documents(renumber_addresses(rename_site(case, random), random))
    random.shuffle(peers)
    if case.web is not None:
        for name in ROWS:
            random.shuffle(own["test_keys"][name])
    return [own, *peers]


def rename_site(case: Case, random: Random) -> Case:
    """Give the site another name, and a certificate for it unless that is a real one."""
    if case.web is None or (case.web.cert and case.web.cert.file):
        return case
    old = host_of(case.web.url).removeprefix("www.")
    new = f"{random.choice('abcdefgh')}{random.randrange(10**6)}-site.org"
    return _replace_text(case, old, new)


def renumber_addresses(case: Case, random: Random) -> Case:
    """Move public IPv4 addresses within their /16, unless public lists name them."""
    if case.web is None or case.kind in LISTED:
        return case
    shift = random.randrange(1, 100)
    text = ADDRESS.sub(partial(_renumber, shift), json.dumps(_builtins(case)))
    return msgspec.convert(json.loads(text), Case)


def add_working_address(case: Case) -> Case | None:
    """Add one address to the site's lookups that works for vantage and control."""
    web = case.web
    if web is None or web.control is None or is_failure(web.control.dns):
        return None
    if isinstance(web.dns, str) and is_failure(web.dns):
        return None
    if "http " in " ".join(web.ends.values()) or not list_ends(web, web):
        return None
    ends = {**dict(list_ends(web, web)), ANOTHER: "ok"}
    return msgspec.structs.replace(case, web=_with_answers(web, ends))


def let_sealed_lookup_agree(case: Case) -> Case | None:
    """Let the encrypted lookup of a vantage return what its system's lookup returns."""
    web = case.web
    if web is None or isinstance(web.dns, str) or "system" not in web.dns or web.probe != "0.5":
        return None
    system = web.dns["system"]
    is_private = not is_failure(system) and any(map(is_bogon, system.split()))
    if is_private or case.kind in LISTED:
        return None
    return msgspec.structs.replace(
        case, web=msgspec.structs.replace(web, dns={**web.dns, "doh": system})
    )


def fail_control_alike(case: Case) -> Case | None:
    """Let the control meet at each endpoint of the first page what the vantage met."""
    web = case.web
    if web is None or web.control is None or web.cert or case.kind in LISTED:
        return None
    failing = {end: x for end, x in list_ends(web, web) if x.startswith(("tcp", "tls"))}
    lookups = [web.dns] if isinstance(web.dns, str) else [*web.dns.values()]
    answers = [a for outcome in lookups if not is_failure(outcome) for a in outcome.split()]
    if not failing or web.then or any(map(is_failure, lookups)) or any(map(is_bogon, answers)):
        return None
    ends = {**web.control.ends, **failing}
    control = msgspec.structs.replace(web.control, ends=ends, page="unknown_error")
    return msgspec.structs.replace(case, web=msgspec.structs.replace(web, control=control))


def _with_answers(web: Web, ends: dict[str, str]) -> Web:
    lookups = {"system": web.dns} if isinstance(web.dns, str) else dict(web.dns)
    if isinstance(web.dns, str):
        lookups |= {"udp": web.dns, "doh": web.dns}
    added = {engine: _add(outcome) for engine, outcome in lookups.items()}
    return msgspec.structs.replace(web, dns=added, ends=ends)


def _add(outcome: str) -> str:
    return outcome if is_failure(outcome) else f"{outcome} {ANOTHER}"


def _replace_text(case: Case, old: str, new: str) -> Case:
    facts = json.dumps(_builtins(case)["web"]).replace(old, new)
    return msgspec.structs.replace(case, web=msgspec.convert(json.loads(facts), Web))


def _builtins(case: Case) -> Json:
    facts: Json = msgspec.to_builtins(case)
    return facts


def _renumber(shift: int, match: re.Match[str]) -> str:
    try:
        ip_address(match[0])
    except ValueError:
        return match[0]
    first, second, third, last = match[0].split(".")
    moved = f"{first}.{second}.{(int(third) + shift) % 256}.{last}"
    return match[0] if is_bogon(match[0]) or is_bogon(moved) else moved
