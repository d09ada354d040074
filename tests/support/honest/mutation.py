"""Change what cannot matter to a verdict: names, addresses, the order of rows."""

import json
import re
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from random import Random
from typing import TypeAlias

import msgspec

from support.honest.case import Case, Web
from support.honest.ooni_frame import Json, host_of, is_failure
from support.honest.score import build_documents
from support.honest.web_document import is_bogon, list_ends

Change: TypeAlias = Callable[[Case, Random], Sequence[Json] | None]
LISTED = ("blocked_by_dns", "chosen_resolvers")  # their addresses are on public lists
ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")
ROWS = ("queries", "tcp_connect", "tls_handshakes")
ANOTHER = "151.101.193.140"  # an address that no case uses


def rename_site(case: Case, random: Random) -> Sequence[Json] | None:
    """Give the site another name; certificates are made for it."""
    if case.web is None or (case.web.cert and case.web.cert.file):
        return None
    old = host_of(case.web.url).removeprefix("www.")
    new = f"{random.choice('abcdefgh')}{random.randrange(10**6)}-site.org"
    return build_documents(_replace_text(case, old, new))


def renumber_addresses(case: Case, random: Random) -> Sequence[Json] | None:
    """Move public IPv4 addresses within their /16."""
    if case.web is None or case.kind in LISTED:
        return None
    shift = random.randrange(1, 100)
    text = ADDRESS.sub(lambda match: _renumber(match[0], shift), json.dumps(_builtins(case)))
    return build_documents(msgspec.convert(json.loads(text), Case))


def shuffle_rows(case: Case, random: Random) -> Sequence[Json] | None:
    """Shuffle rows, or a messenger's peers; the order of redirects has a meaning."""
    if case.native is not None:
        return None
    own, *peers = build_documents(case)
    random.shuffle(peers)
    if case.web is not None:
        for name in ROWS:
            random.shuffle(own["test_keys"][name])
    return [own, *peers]


CHANGES: tuple[Change, ...] = (rename_site, renumber_addresses, shuffle_rows)


def add_working_address(case: Case) -> Case | None:
    """Let the site's lookups give one more address, which works for vantage and control."""
    web = case.web
    if web is None or web.control is None or is_failure(web.control.dns):
        return None
    if isinstance(web.dns, str) and is_failure(web.dns):
        return None
    if "http " in " ".join(web.ends.values()) or not list_ends(web, web):
        return None
    ends = {**dict(list_ends(web, web)), ANOTHER: "ok"}
    return msgspec.structs.replace(case, web=_with_answers(web, ends))


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


def _renumber(text: str, shift: int) -> str:
    try:
        ip_address(text)
    except ValueError:
        return text
    first, second, third, last = text.split(".")
    moved = f"{first}.{second}.{(int(third) + shift) % 256}.{last}"
    return text if is_bogon(text) or is_bogon(moved) else moved
