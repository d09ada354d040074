"""Remember notices that no list has: one page in place of several unrelated sites.

A notice is the same under every name on a provider's list. A page of a portal, an office, a CDN or
a publisher may be too, and so may a hoster's page of parked names. A notice is recognized by these
signs:

- The sites are unrelated: by their names, by the pages that controls get, and by the networks that
  controls are led to. A CDN's, a publisher's or a hoster's sites are alike in one of the three.
- Established vantages in several prefixes met it, each under NAMES_ENOUGH names, and no more
  prefixes that asked for these names got other pages. An office has one line.
- They met it under the same names. A page for used-up credit, an unpaid bill or an injection now
  and then meets each line at other names.
- Near its time each of them got as many other sites' own answers. A portal lets nobody through.
- No control in another country met it, and at most one vantage there: a site's own page for
  strangers is shown in many countries.

Digests are kept and no text (model/page_digest.py). All memories are bounded; a replay of the same
results gives the same memory, as for profiles.
"""

import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from heliograph.observation import Measurement
from heliograph_collector.control.vantage_facts import ERRORS, extract_facts
from heliograph_collector.control.vantage_memory import NAMES_ENOUGH, VantageMemory
from heliograph_collector.model.page_digest import (
    find_owner_label,
    identify_own_page,
    read_host,
)
from heliograph_collector.model.records import AgentRole, ReceivedMeasurement

SITES_KEPT = 4_096  # assumed; names of which a control's page is known
DIGESTS_KEPT = 4_096  # assumed
WITNESSES_KEPT = 8  # assumed; vantages of one page, of which two abroad clear it
WITNESSES_ENOUGH = 2
VANTAGES_AGREED = 2  # that met a page under a name before the name is one of a network's list
SHOWN_FOR_EACH_OTHER = 3  # assumed; one of five may have asked before the name was listed
NETWORK_PREFIX = 16  # bits; the network of a hoster or of a CDN's near edges; assumed


class OwnPage(NamedTuple):
    """Page that a control got of a site."""

    identity: str  # of the page
    network: str  # that its name leads to


class Witness(NamedTuple):
    """Country and role of a vantage or control that met a page."""

    country: str
    is_control: bool


class SharedPages:
    """Pages that controls got of sites, and the witnesses of each page."""

    def __init__(self) -> None:
        self._own_pages: OrderedDict[str, OwnPage] = OrderedDict()  # by name
        self._witnesses: OrderedDict[str, dict[str, Witness]] = OrderedDict()  # by digest

    def update(self, record: ReceivedMeasurement) -> None:
        """Take up the pages of a control or of an established vantage."""
        is_control = record.role is AgentRole.CONTROL
        for digest in filter(None, extract_facts(record.measurement).pages.values()):
            witnesses = self._witnesses.setdefault(digest, {})
            if len(witnesses) < WITNESSES_KEPT or is_control:
                witnesses[record.pseudonym] = Witness(record.vantage.country, is_control)
            self._witnesses.move_to_end(digest)
        while len(self._witnesses) > DIGESTS_KEPT:
            self._witnesses.popitem(last=False)
        if is_control:
            self._note_own_pages(record.measurement)

    def split_vantages(
        self, digest: str, country: str, vantages: Iterable[VantageMemory], since_us: int
    ) -> tuple[Sequence[VantageMemory], Sequence[VantageMemory]]:
        """Return the vantages that met the page for unrelated sites, and those spared."""
        met: list[VantageMemory] = []
        spared: list[VantageMemory] = []
        if self._is_of_many_countries(digest, country):
            return met, spared
        memories = list(vantages)
        names = {
            memory: memory.list_names_of_page(digest, since_us)
            for memory in memories
            if digest in memory.repeated_pages
        }
        all_names = frozenset().union(*names.values())
        agreed = _find_agreed_names(digest, names, since_us)
        for memory in memories:
            own_names = names.get(memory, frozenset())
            common = own_names & agreed
            is_same_list = 2 * len(common) > len(own_names)
            if is_same_list and self._count_unrelated(common) >= NAMES_ENOUGH:
                met.append(memory)
            elif _count_others(memory, digest, all_names, since_us) >= NAMES_ENOUGH:
                spared.append(memory)
        return met, spared

    def _is_of_many_countries(self, digest: str, country: str) -> bool:
        abroad = [w for w in self._witnesses.get(digest, {}).values() if w.country != country]
        return len(abroad) >= WITNESSES_ENOUGH or any(w.is_control for w in abroad)

    def _count_unrelated(self, names: frozenset[str]) -> int:
        """Count the sites that have neither a name nor a page nor a network in common."""
        own = {name: self._own_pages[name] for name in names if name in self._own_pages}
        return min(
            len({find_owner_label(name) for name in own}),
            len({page.identity for page in own.values()}),
            len({page.network for page in own.values()}),
        )

    def _note_own_pages(self, measurement: Measurement) -> None:
        networks = {
            x.dns.name.lower().rstrip("."): _name_network(x.dns.addresses[0])
            for x in measurement.observations
            if x.dns is not None and x.dns.query_type == "A" and x.dns.addresses
        }
        for http in (x.http for x in measurement.observations):
            if http is None or not 0 < http.status < ERRORS or not http.url.startswith("http://"):
                continue
            name = read_host(http)
            if name in networks:
                self._own_pages[name] = OwnPage(identify_own_page(http), networks[name])
                self._own_pages.move_to_end(name)
        while len(self._own_pages) > SITES_KEPT:
            self._own_pages.popitem(last=False)


def _find_agreed_names(
    digest: str, names: Mapping[VantageMemory, frozenset[str]], since_us: int
) -> frozenset[str]:
    """Find the names under which several vantages met the page, and few another one.

    A list is the same in a whole network. A page for used-up credit, an unpaid bill or an injection
    now and then meets each line under other names.
    """
    shown = Counter(name for own_names in names.values() for name in own_names)
    others = Counter(
        name
        for memory in names
        for name, (at_us, page) in memory.pages.items()
        if name in shown and at_us >= since_us and page != digest
    )
    return frozenset(
        name
        for name, count in shown.items()
        if count >= VANTAGES_AGREED and count > SHOWN_FOR_EACH_OTHER * others[name]
    )


def _count_others(memory: VantageMemory, digest: str, names: frozenset[str], since_us: int) -> int:
    """Count the names that showed the vantage another page."""
    pages = [memory.pages[name] for name in names if name in memory.pages]
    return sum(1 for at_us, page in pages if at_us >= since_us and page != digest)


def _name_network(address: str) -> str:
    try:
        return str(ipaddress.ip_network(f"{address}/{NETWORK_PREFIX}", strict=False))
    except ValueError:
        return address
