"""Memory of one vantage on one network: facts from its newest measurements."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product, starmap
from typing import Any, NamedTuple, TypeVar

from heliograph.observation import Link
from heliograph.plan import ANCHORS
from heliograph.units import DAY_US, HOUR_US, MINUTE_US
from heliograph_collector.control.target_key import WINDOW_US
from heliograph_collector.control.vantage_facts import (
    AnswerKind,
    ChainFact,
    HelloFact,
    HelloFinding,
    extract_facts,
)
from heliograph_collector.model.control_look import ALL_NAMES, HelloSize, VantageProfile
from heliograph_collector.model.records import ReceivedMeasurement
from heliograph_collector.model.seniority import Seniority

# The age at which a memory is replaced by an empty one, and how long it is kept without a result.
# So no fact is older than 30 days, as the store's measurements and as the agent's terms say.
KEPT_US = 15 * DAY_US
NAMES_KEPT = 128  # assumed; of each kind and vantage
HELLO_US = 6 * 3_600 * 1_000_000  # assumed
# Assumed: for so long is it news that browsers are dropped. Agents say hello again after 30 min.
DROPPED_US = 45 * MINUTE_US
# Assumed: for so long, and up to twice, it tells what a path lets through. Lines of 300 MB a month
# test their anchors, two of which speak TLS, every half hour.
PASSED_US = HOUR_US
HELLO_SIZES = tuple(starmap(HelloSize, product((False, True), repeat=2)))
NAMES_ENOUGH = 3  # assumed; unrelated names that show what happens to all

_ODD_FINDINGS = (
    HelloFinding.OWN_FILTERED,
    HelloFinding.BROWSERS_DROPPED,
    HelloFinding.BROWSERS_IN_DOUBT,
)
_Fact = TypeVar("_Fact")
_Name = TypeVar("_Name")


@dataclass(slots=True, eq=False)
class VantageMemory:
    """Newest facts by name, each with its time; the oldest names go first."""

    country: str
    asn: int
    prefix: str = ""  # the name of its line changes every day …
    day: int = 0  # … so this is the day of the name
    begun_us: int = 0
    received_us: int = 0
    is_established: bool = False
    chains: dict[str, tuple[int, ChainFact]] = field(default_factory=dict)
    answers: dict[str, tuple[int, AnswerKind]] = field(default_factory=dict)
    sealed: dict[str, int] = field(default_factory=dict)
    neutral_names: dict[str, None] = field(default_factory=dict)
    hellos: dict[str, tuple[int, HelloFact]] = field(default_factory=dict)
    # By hours, because what waited in a long outage comes late and in one block:
    passed_hellos: dict[tuple[HelloSize, int], None] = field(default_factory=dict)
    private_answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    pages: dict[str, tuple[int, str]] = field(default_factory=dict)  # digests
    newest_us: int = 0  # of its results
    resolver_network: str = ""
    captive_us: int = 0  # when its anchors last met a captive portal
    online_us: int = 0  # when they last did not
    # A summary of the facts, for questions about other vantages of the network:
    own_issuer: str = ""  # a private issuer of all neutral names, or of all names
    private_issuers: frozenset[str] = frozenset()  # that it met at any name
    foreign_leaves: Counter[str] = field(default_factory=Counter)  # and the names that showed them
    repeated_pages: frozenset[str] = frozenset()  # digests that stand under several names
    sees_selection: bool = False  # neutral names verify, or else any name: nobody decrypts all
    _summary: "_VantageSummary | None" = None
    # Of the present facts, by the hour and whether a portal stood: see `get_profile`.
    _profiles: dict[tuple[int, bool], VantageProfile] = field(default_factory=dict)

    def update(self, record: ReceivedMeasurement) -> bool:
        """Take up newer facts of a measurement; return whether the profile changes."""
        before = self._summary or self._summarize()
        self._profiles.clear()
        facts = extract_facts(record.measurement)
        at_us = record.started_us
        self.received_us = max(self.received_us, record.received_us)
        self.is_established = record.seniority is Seniority.ESTABLISHED
        self.prefix = record.prefix
        self.day = record.line_day
        has_new_names = _put_names(self.neutral_names, dict.fromkeys(facts.neutral_names))
        has_new_chains = _put_all(self.chains, facts.chains, at_us)
        has_new_answers = _put_all(self.answers, facts.answers, at_us)
        _put_all(self.hellos, facts.hellos, at_us)
        _put_all(self.private_answers, facts.private_answers, at_us)
        if _put_all(self.pages, facts.pages, at_us):
            digests = Counter(digest for _, digest in self.pages.values() if digest)
            repeated = (digest for digest, count in digests.items() if count >= NAMES_ENOUGH)
            self.repeated_pages = frozenset(repeated)
        hour = self.newest_us // PASSED_US
        self.newest_us = max(self.newest_us, at_us)
        passed = dict.fromkeys([(size, at_us // PASSED_US) for size in facts.passed_hellos])
        has_new_hour = _put_names(self.passed_hellos, passed) or hour != self.newest_us // PASSED_US
        has_new_seals = not facts.sealed_names <= self.sealed.keys()
        for name in facts.sealed_names:
            self.sealed.pop(name, None)
            self.sealed[name] = at_us
        has_new_seals = _forget_oldest(self.sealed) or has_new_seals
        self.resolver_network = facts.resolver_network or self.resolver_network
        is_anchors = record.measurement.experiment == ANCHORS
        if is_anchors:
            self._note_link(record.link, at_us)
        if has_new_chains or has_new_names:  # a later time of the same facts changes nothing here
            self._conclude_from_chains()
        has_new_lies = has_new_answers or has_new_names or has_new_seals
        may_differ = has_new_chains or has_new_lies or has_new_hour or is_anchors
        if may_differ or facts.hellos or facts.resolver_network:
            self._summary = self._summarize(None if has_new_lies else before)
            return before != self._summary
        self._summary = before
        return False

    def _conclude_from_chains(self) -> None:
        self.own_issuer = self._find_own_issuer()
        self.private_issuers = frozenset(c.issuer for _, c in self.chains.values()) - {""}
        self.foreign_leaves = Counter(c.leaf for _, c in self.chains.values() if c.leaf)
        self.sees_selection = any(chain.is_verified for chain in self._list_telling_chains())

    @property
    def weight(self) -> int:
        """Return the number of facts that it holds."""
        named = len(self.chains) + len(self.answers) + len(self.sealed)
        hellos = len(self.hellos) + len(self.passed_hellos)
        answers = len(self.private_answers) + len(self.pages)
        return 1 + named + len(self.neutral_names) + hellos + answers

    def find_answer(self, name: str, since_us: int) -> str | None:
        """Return the private address that the system's resolver gives for a name.

        Returns:
            "" if its newest answer is public, None without an answer since then.
        """
        at_us, kind = self.answers.get(name, (0, AnswerKind.FALSE))
        if at_us >= since_us and kind is AnswerKind.PUBLIC:
            return ""
        at_us, address = self.private_answers.get(name, (0, ""))
        return address if address and at_us >= since_us else None

    def list_names_of_page(self, digest: str, since_us: int) -> frozenset[str]:
        """List the names whose newest page this is, if other names had other pages.

        A portal's page, or one for unpaid bills, replaces all sites: near its time no others
        answered. So as many other names must have their own pages, or a certificate that verifies.
        """
        times_us = {
            name: at_us
            for name, (at_us, page) in self.pages.items()
            if page == digest and at_us >= since_us
        }
        if not times_us:
            return frozenset()
        begin_us = min(times_us.values()) - WINDOW_US
        end_us = max(times_us.values()) + WINDOW_US
        others = {n for n, (at_us, _) in self.pages.items() if begin_us <= at_us <= end_us}
        others |= {
            name
            for name, (at_us, chain) in self.chains.items()
            if chain.is_verified and begin_us <= at_us <= end_us
        }
        names = frozenset(times_us)
        return names if len(others - names) >= len(names) else frozenset()

    def get_profile(self, at_us: int) -> VantageProfile:
        """Return the facts from this memory alone; one object until the next result."""
        key = (at_us // PASSED_US, self.meets_portal(at_us))
        if key not in self._profiles:
            self._profiles[key] = VantageProfile(
                resolver_network=self.resolver_network,
                own_interceptor_issuer=self.own_issuer,
                fake_addresses=self.fake_addresses,
                sealed_disagrees=self.sealed_disagrees,
                portal=True if key[1] else None,
                passed_hellos=self.list_passed_hellos(at_us),
            )
        return self._profiles[key]

    @property
    def fake_addresses(self) -> bool | None:
        """Return whether a tunnel answers names with addresses that it made up."""
        return (self._summary or self._summarize()).fake_addresses

    @property
    def sealed_disagrees(self) -> bool | None:
        """Return whether the system's resolver forges most neutral names, None if unknown."""
        return (self._summary or self._summarize()).sealed_disagrees

    @property
    def has_odd_hellos(self) -> bool:
        """Return whether any name has a finding other than that hellos pass; few have."""
        return bool((self._summary or self._summarize()).odd_hellos)

    def _summarize(self, known: "_VantageSummary | None" = None) -> "_VantageSummary":
        """Summarize the facts; `known` is a summary of the same answers."""
        if known is None:
            names = self.neutral_names
            neutral = [kind for name, (_, kind) in self.answers.items() if name in names]
            lies = (self._find_fake_addresses(neutral), self._find_lie(neutral))
        else:
            lies = (known.fake_addresses, known.sealed_disagrees)
        return _VantageSummary(
            self.own_issuer,
            *lies,
            self.resolver_network,
            self.captive_us > self.online_us,
            self._list_odd_hellos(),
            self.list_passed_hellos(self.newest_us),
        )

    def _list_odd_hellos(self) -> dict[str, tuple[int, HelloFact]]:
        """Return the findings of `hello`, none if all pass: that changes no verdict."""
        findings = {hello.finding for _, hello in self.hellos.values()}
        return {} if findings.isdisjoint(_ODD_FINDINGS) else dict(self.hellos)

    def _list_telling_chains(self) -> list[ChainFact]:
        """List the chains of neutral names, or those of all names where there are none."""
        neutral = [c for name, (_, c) in self.chains.items() if name in self.neutral_names]
        return neutral or [chain for _, chain in self.chains.values()]

    def _find_own_issuer(self) -> str:
        """Return the private issuer of all neutral names, or of all names; "" without one.

        A censor picks names. An issuer that stands before neutral names too is of the machine, the
        home or the office, though it may spare some names, as banks.
        """
        targets = [c for name, (_, c) in self.chains.items() if name not in self.neutral_names]
        chains = self._list_telling_chains()
        is_spared = bool(targets) and all(chain.is_verified for chain in targets)
        has_neutral = len(targets) < len(self.chains)
        if is_spared or not (has_neutral or len(chains) >= NAMES_ENOUGH):
            return ""
        issuers = {"" if chain.is_verified else chain.issuer for chain in chains}
        return issuers.pop() if len(issuers) == 1 else ""

    def _find_fake_addresses(self, neutral: Sequence[AnswerKind]) -> bool | None:
        kinds = [kind for _, kind in self.answers.values()]
        fakes = kinds.count(AnswerKind.FAKE)
        if AnswerKind.FAKE in neutral or (fakes > 1 and 2 * fakes >= len(kinds)):
            return True
        return False if neutral else None

    def _find_lie(self, neutral: Sequence[AnswerKind]) -> bool | None:
        if 2 * neutral.count(AnswerKind.FALSE) > len(neutral):
            return True
        is_compared = any(name in self.sealed for name in self.neutral_names)
        return False if neutral and is_compared else None

    def meets_portal(self, at_us: int) -> bool:
        """Return whether a captive portal stood before the vantage near this time.

        It did if the anchors show it, or if a neutral name and others all showed one certificate.
        """
        if abs(at_us - self.captive_us) <= WINDOW_US and not (
            self.captive_us < self.online_us <= at_us
        ):
            return True
        near: set[str] = set()
        leaves: set[str] = set()
        for name, (time_us, chain) in reversed(self.chains.items()):
            if abs(time_us - at_us) > WINDOW_US:
                continue
            if chain.is_verified or not chain.leaf:
                return False  # as nearly always, after the newest name
            near.add(name)
            leaves.add(chain.leaf)
        is_neutral = not self.neutral_names.keys().isdisjoint(near)
        return len(near) >= NAMES_ENOUGH and is_neutral and len(leaves) == 1

    def list_filtered_hellos(self, at_us: int) -> frozenset[str]:
        """List the names at which our own hello was filtered near this time.

        ALL_NAMES, if it was at every name that was tried, and two were.
        """
        if not self.has_odd_hellos:
            return frozenset()
        near = {
            name: hello.finding is HelloFinding.OWN_FILTERED
            for name, (time_us, hello) in self.hellos.items()
            if abs(time_us - at_us) <= HELLO_US
        }
        if len(near) > 1 and all(near.values()):
            return frozenset({ALL_NAMES})
        return frozenset(name for name, is_filtered in near.items() if is_filtered)

    def list_passed_hellos(self, at_us: int) -> frozenset[HelloSize]:
        """List the sizes of hellos that passed near this time, at whatever name."""
        hour = at_us // PASSED_US
        passed = self.passed_hellos
        return frozenset(
            [
                s
                for s in HELLO_SIZES
                if (s, hour) in passed or (s, hour - 1) in passed or (s, hour + 1) in passed
            ]
        )

    def list_dropped_browsers(
        self, at_us: int, finding: HelloFinding = HelloFinding.BROWSERS_DROPPED
    ) -> dict[str, tuple[int, str]]:
        """Return age and address by name for which browsers' hellos were dropped."""
        if not self.has_odd_hellos:
            return {}
        return {
            name: (abs(time_us - at_us), hello.address)
            for name, (time_us, hello) in self.hellos.items()
            if hello.finding is finding and abs(time_us - at_us) <= HELLO_US
        }

    def _note_link(self, link: Link, at_us: int) -> None:
        if link is Link.CAPTIVE:
            self.captive_us = max(self.captive_us, at_us)
        elif link is not Link.UNKNOWN:
            self.online_us = max(self.online_us, at_us)


class _VantageSummary(NamedTuple):
    """Facts on a vantage whose change changes verdicts."""

    own_issuer: str
    fake_addresses: bool | None
    sealed_disagrees: bool | None
    resolver_network: str
    is_captive: bool
    odd_hellos: dict[str, tuple[int, HelloFact]]
    passed_hellos: frozenset[HelloSize]


def _forget_oldest(memory: dict[Any, Any]) -> bool:
    """Forget the oldest names over the bound; return whether there were any."""
    is_over = len(memory) > NAMES_KEPT
    while len(memory) > NAMES_KEPT:
        del memory[next(iter(memory))]
    return is_over


def _put_all(memory: dict[str, tuple[int, _Fact]], facts: Mapping[str, _Fact], at_us: int) -> bool:
    """Put facts at the end of a memory, but for those of which a newer one is known.

    Returns:
        True if any name is new or gone, or has another fact than before.
    """
    if not facts:  # as mostly; a memory is never over the bound before
        return False
    is_changed = False
    for name, fact in facts.items():
        previous = memory.pop(name, None)
        kept = previous if previous is not None and previous[0] > at_us else (at_us, fact)
        memory[name] = kept
        is_changed = is_changed or previous is None or previous[1] != kept[1]
    return _forget_oldest(memory) or is_changed


def _put_names(memory: dict[_Name, None], names: dict[_Name, None]) -> bool:
    """Put new names at the end of a memory; return whether any is new or gone."""
    if not names:
        return False
    is_changed = not names.keys() <= memory.keys()
    memory |= names
    return _forget_oldest(memory) or is_changed
