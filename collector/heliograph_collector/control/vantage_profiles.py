"""Profiles of vantages: whether its household or its network forges an answer.

A vantage is a pseudonym in one epoch. Its memory holds the results of its newest measurements of
neutral names and certificates. Results are taken up in the order of the journal, so a replay gives
the same profiles. No address is kept, but for the network of a resolver that asked for a whoami
name, and private ones that a resolver gave.

A private issuer at neutral names is the vantage's own. One at some names, while neutral names
verify, is the network's if the established vantages that tried these names met it in at least
MIN_PREFIXES prefixes, and in at least half of all prefixes. So an attacker with a crowd of keys can
neither make an innocent issuer the state's nor hide the state's: only prefixes count, and only
those of vantages that have waited two weeks. An issuer that a control in another country met is of
servers, not of the network.

A private address that the system's resolver gives for a name is the network's answer, and no
household's, if established vantages in MIN_PREFIXES prefixes got the very same for that name within
a day, and no more prefixes a public one: households have advert blockers at one address, but not
most of them, and not for one name. Of 10/8 and 172.16/12, but for the parts that homes use, two
prefixes are enough (MIN_OFFICES): no product has an address there by default, and an office's own
zone is seen from that office alone.

A page in clear that several lines get in place of unrelated sites is a notice (shared_pages.py).

A certificate for another name that established vantages in MIN_PREFIXES prefixes met under
NAMES_ENOUGH names each, while others verify, is of a host of notices (ooni/pipeline#92): an old
record leads one name astray, not several to one host.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice

from heliograph.observation import Link
from heliograph_collector.control.shared_pages import SharedPages
from heliograph_collector.control.target_key import OBSERVATIONS_KEPT, WINDOW_US
from heliograph_collector.control.vantage_facts import (
    AnswerKind,
    HelloFinding,
    extract_facts,
)
from heliograph_collector.control.vantage_memory import (
    DROPPED_US,
    HELLO_US,
    KEPT_US,
    NAMES_ENOUGH,
    VantageMemory,
)
from heliograph_collector.model.control_look import VantageProfile
from heliograph_collector.model.private_networks import is_office_address
from heliograph_collector.model.records import AgentRole, ReceivedMeasurement

MIN_PREFIXES = 3  # assumed, as many as replace a control
MIN_OFFICES = 2  # assumed; prefixes, each of which may be one office
FRESH_US = 24 * 60 * 60 * 1_000_000  # assumed; most tests run every two hours
# Assumed; they bound the time of a question:
VANTAGES_ASKED = 500  # of one network, the most recent
ISSUERS_ASKED = 4  # of one measurement, and as many leaves; an interceptor has one
EPOCHS_KEPT = 8  # assumed; of one vantage, for batches that arrive late
SERVER_ISSUERS = 4_096  # assumed
ANSWERING_SERVERS = 4_096  # assumed; names and addresses
FACTS_FOR_EACH = 5  # facts for each observation that other memories keep; they are smaller

Topic = tuple[str, ...]  # whose open measurements may change


class VantageProfiles:
    """Bounded memories of vantages; the one that has been silent longest goes first."""

    def __init__(self, *, observations: int = OBSERVATIONS_KEPT) -> None:
        self._vantages: OrderedDict[Topic, VantageMemory] = OrderedDict()
        self._topics: defaultdict[str, list[Topic]] = defaultdict(list)  # by pseudonym
        # By network, the newest epoch of each established vantage:
        self._voters: defaultdict[Topic, dict[str, Topic]] = defaultdict(dict)
        self._server_issuers: OrderedDict[str, set[str]] = OrderedDict()  # countries of controls
        # Names and addresses that answered browsers' hellos of a control, and when last:
        self._answers_to_browsers: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._remaining_weight = FACTS_FOR_EACH * observations
        self._latest_us = 0
        self._is_shared: dict[tuple[Topic, str], bool] = {}
        self._shared_pages = SharedPages()
        self._page_prefixes: dict[tuple[Topic, str], int] = {}

    def update(self, record: ReceivedMeasurement) -> tuple[Topic, ...]:
        """Take up a result; return the topics whose open measurements it may change."""
        if record.role is AgentRole.CONTROL:
            self._note_server_issuers(record)
            self._note_answers(record)
            self._shared_pages.update(record)
            self._page_prefixes.clear()
            return ()
        if record.role is not AgentRole.VOLUNTEER or not _is_telling(record):
            return ()
        self._is_shared.clear()
        self._page_prefixes.clear()
        topic = make_vantage_topic(record)
        if topic in self._vantages and (
            self._vantages[topic].begun_us < record.received_us - KEPT_US
        ):
            self._forget(topic)
        memory = self._vantages.get(topic) or self._add_vantage(topic, record)
        self._vantages.move_to_end(topic)
        self._remaining_weight += memory.weight
        signs = _list_signs(memory)
        is_changed = memory.update(record)
        self._remaining_weight -= memory.weight
        if memory.is_established:  # the most recent one is last
            self._shared_pages.update(record)
            voters = self._voters[_network_of(memory)]
            voters.pop(record.pseudonym, None)
            voters[record.pseudonym] = topic
        self._latest_us = max(self._latest_us, record.received_us)
        self._forget_old()
        changed_topics = [make_vantage_topic(record)] if is_changed else []
        if signs != _list_signs(memory):
            changed_topics.append(make_issuer_topic(record))
        return tuple(changed_topics)

    def _add_vantage(self, topic: Topic, record: ReceivedMeasurement) -> VantageMemory:
        """Add a memory, in place of the oldest epoch's if the agent has too many.

        One agent cannot fill the memory.
        """
        topics = self._topics[record.pseudonym]
        if len(topics) >= EPOCHS_KEPT:
            self._forget(topics[0])
        self._topics[record.pseudonym].append(topic)
        memory = VantageMemory(
            record.vantage.country, record.vantage.asn, begun_us=record.received_us
        )
        self._vantages[topic] = memory
        self._remaining_weight -= memory.weight
        return memory

    def profile_of(self, record: ReceivedMeasurement) -> VantageProfile:
        """Return the profile of a volunteer's vantage; a control has none."""
        memory = self._vantages.get(make_vantage_topic(record))
        if memory is None or record.role is AgentRole.CONTROL:
            return VantageProfile()
        profile = memory.get_profile(record.started_us)
        facts = extract_facts(record.measurement)
        if facts.is_plain and not memory.has_odd_hellos:  # as nearly always
            return profile
        network = _network_of(memory)
        issuers = islice(sorted(facts.private_issuers), ISSUERS_ASKED)
        leaves = islice(sorted(facts.foreign_leaves), ISSUERS_ASKED)
        dropped = memory.list_dropped_browsers(record.started_us)
        confirmed = frozenset(
            name
            for name, (age_us, address) in dropped.items()
            if age_us <= DROPPED_US and self._answers_browsers(name, address, record.started_us)
        )
        doubted = memory.list_dropped_browsers(record.started_us, HelloFinding.BROWSERS_IN_DOUBT)
        return replace(
            profile,
            own_filter=True if self._is_lie_of_house(memory, record) else None,
            shared_issuers=frozenset(i for i in issuers if self._is_issuer_shared(network, i)),
            shared_leaves=frozenset(x for x in leaves if self._is_leaf_shared(network, x)),
            shared_answers=frozenset(
                address
                for name, address in facts.private_answers.items()
                if self._is_answer_shared(network, name, address)
            ),
            shared_pages=self._find_shared_pages(network, facts.pages),
            filtered_hellos=memory.list_filtered_hellos(record.started_us),
            dropped_browsers=confirmed,
            doubted_browsers=(frozenset(dropped) - confirmed) | frozenset(doubted),
        )

    def count_vantages(self) -> int:
        return len(self._vantages)

    def _is_issuer_shared(self, network: Topic, issuer: str) -> bool:
        """Return whether an issuer is of the network, and of no home or server in it."""
        key = (network, issuer)
        if key not in self._is_shared:
            voters = self._iter_voters(network, issuer)
            self._is_shared[key] = not self._is_server_issuer(network[1], issuer) and _is_met(
                voters, issuer, since_us=self._latest_us - FRESH_US
            )
        return self._is_shared[key]

    def _is_leaf_shared(self, network: Topic, leaf: str) -> bool:
        """Return whether a host of the network shows its certificate for several names."""
        key = (network, leaf)
        if key not in self._is_shared:
            met = [
                memory
                for memory in self._iter_established(network)
                if memory.sees_selection and memory.foreign_leaves[leaf] >= NAMES_ENOUGH
            ]
            self._is_shared[key] = _count_prefixes(met) >= MIN_PREFIXES
        return self._is_shared[key]

    def _is_answer_shared(self, network: Topic, name: str, address: str) -> bool:
        """Return whether a private address is the network's answer, and no household's."""
        key = (network, f"{name} {address}")
        if key not in self._is_shared:
            since_us = self._latest_us - FRESH_US
            answers = [(m, m.find_answer(name, since_us)) for m in self._iter_established(network)]
            met = _count_prefixes(m for m, answer in answers if answer == address)
            spared = _count_prefixes(m for m, answer in answers if answer == "")
            needed = MIN_OFFICES if is_office_address(address) else MIN_PREFIXES
            self._is_shared[key] = met >= max(needed, spared)
        return self._is_shared[key]

    def _find_shared_pages(self, network: Topic, pages: Mapping[str, str]) -> dict[str, int]:
        """Find the names whose page replaces several sites, and count its prefixes."""
        counts = {n: self._count_page_prefixes(network, digest) for n, digest in pages.items()}
        return {name: count for name, count in counts.items() if count}

    def _count_page_prefixes(self, network: Topic, digest: str) -> int:
        key = (network, digest)
        if not digest:
            return 0
        if key not in self._page_prefixes:
            since_us = self._latest_us - FRESH_US
            voters = [m for m in self._iter_established(network) if digest in m.repeated_pages]
            met_count = 0
            if _count_prefixes(voters) >= MIN_OFFICES:
                met, spared = self._shared_pages.split_vantages(
                    digest, network[1], self._iter_established(network), since_us
                )
                met_count = _count_prefixes(met)
                met_count = met_count if met_count >= _count_prefixes(spared) else 0
            self._page_prefixes[key] = met_count if met_count >= MIN_OFFICES else 0
        return self._page_prefixes[key]

    def _iter_voters(self, network: Topic, issuer: str) -> Iterator[VantageMemory]:
        """Yield established vantages that would notice the issuer at selected names."""
        for memory in self._iter_established(network):
            if memory.sees_selection and memory.own_issuer != issuer:
                yield memory

    def _iter_established(self, network: Topic) -> Iterator[VantageMemory]:
        voters = self._voters.get(network, {})
        for topic in islice(reversed(voters.values()), VANTAGES_ASKED):
            if self._vantages[topic].is_established:
                yield self._vantages[topic]

    def _is_lie_of_house(self, memory: VantageMemory, record: ReceivedMeasurement) -> bool:
        """Return whether the same resolver answers all others truthfully for these names.

        Then a school, an office or a home between the resolver and this vantage lies.
        """
        if not memory.resolver_network:
            return False
        answers = extract_facts(record.measurement).answers
        names = {name for name, kind in answers.items() if kind is AnswerKind.FALSE}
        truthful: list[VantageMemory] = []
        for other in self._iter_established(_network_of(memory)) if names else ():
            if other is memory or other.resolver_network != memory.resolver_network:
                continue
            kinds = {other.answers[n][1] for n in names if n in other.answers}
            if AnswerKind.FALSE in kinds:
                return False
            times_us = [other.answers[n][0] for n in names if n in other.answers]
            if times_us and min(times_us) >= record.started_us - WINDOW_US:
                truthful.append(other)
        return _count_prefixes(truthful) >= MIN_PREFIXES

    def _note_server_issuers(self, record: ReceivedMeasurement) -> None:
        """Note the issuers that a control met.

        Its own country's network may intercept its TLS as well.
        """
        for issuer in extract_facts(record.measurement).private_issuers:
            self._server_issuers.setdefault(issuer, set()).add(record.vantage.country)
            self._server_issuers.move_to_end(issuer)
        while len(self._server_issuers) > SERVER_ISSUERS:
            self._server_issuers.popitem(last=False)

    def _note_answers(self, record: ReceivedMeasurement) -> None:
        """Note the servers that answer browsers' hellos, and so do not drop them."""
        for name, hello in extract_facts(record.measurement).hellos.items():
            key = (name, hello.address)
            self._answers_to_browsers.pop(key, None)
            if hello.answers_browsers and record.link is Link.ONLINE:
                self._answers_to_browsers[key] = record.started_us
        while len(self._answers_to_browsers) > ANSWERING_SERVERS:
            self._answers_to_browsers.popitem(last=False)

    def _answers_browsers(self, name: str, address: str, at_us: int) -> bool:
        answered_us = self._answers_to_browsers.get((name, address))
        return answered_us is not None and abs(answered_us - at_us) <= HELLO_US

    def _is_server_issuer(self, country: str, issuer: str) -> bool:
        return bool(self._server_issuers.get(issuer, set()) - {country})

    def _forget_old(self) -> None:
        while len(self._vantages) > 1 and (
            self._remaining_weight < 0
            or next(iter(self._vantages.values())).received_us < self._latest_us - KEPT_US
        ):
            self._forget(next(iter(self._vantages)))

    def _forget(self, topic: Topic) -> None:
        memory = self._vantages.pop(topic)
        self._remaining_weight += memory.weight
        pseudonym = topic[1]
        self._topics[pseudonym].remove(topic)
        if not self._topics[pseudonym]:
            del self._topics[pseudonym]
        network = _network_of(memory)
        if self._voters[network].get(pseudonym) == topic:
            del self._voters[network][pseudonym]
        if not self._voters[network]:
            del self._voters[network]


def make_vantage_topic(record: ReceivedMeasurement) -> Topic:
    return ("vantage", record.pseudonym, record.measurement.epoch)


def make_issuer_topic(record: ReceivedMeasurement) -> Topic:
    """Name a network's measurements with a foreign certificate, answer or page."""
    return ("issuer", record.vantage.country, str(record.vantage.asn))


def list_topics(record: ReceivedMeasurement) -> tuple[Topic, ...]:
    """List the topics whose changes may change the verdicts on a measurement."""
    facts = extract_facts(record.measurement)
    if facts.foreign_leaves or facts.private_answers or any(facts.pages.values()):
        return (make_vantage_topic(record), make_issuer_topic(record))
    return (make_vantage_topic(record),)


def _list_signs(memory: VantageMemory) -> tuple[object, ...]:
    """List what counts for other vantages of the network."""
    answers = {name: address for name, (_, address) in memory.private_answers.items()}
    return memory.private_issuers, memory.foreign_leaves, answers, memory.repeated_pages


def _network_of(memory: VantageMemory) -> Topic:
    return ("network", memory.country, str(memory.asn))


def _is_telling(record: ReceivedMeasurement) -> bool:
    """Return whether the result is evidence on the vantage: one run on a working link."""
    measurement = record.measurement
    return (
        bool(measurement.step_count)
        and not measurement.not_measured
        and not record.is_time_bad
        and record.link in (Link.ONLINE, Link.CAPTIVE)
    )


def _is_met(voters: Iterable[VantageMemory], issuer: str, *, since_us: int) -> bool:
    """Return whether enough prefixes, and half of those that tried, met an issuer.

    A server's own certificate, which nobody else signed, may stand at one name; an interceptor
    forges several.
    """
    fresh = [
        (m, {name: fact for name, (at_us, fact) in m.chains.items() if at_us >= since_us})
        for m in voters
    ]
    names = {n for _, facts in fresh for n, fact in facts.items() if fact.issuer == issuer}
    is_self_signed = any(
        facts[n].is_self_signed for _, facts in fresh for n in names & facts.keys()
    )
    if not names or (is_self_signed and len(names) == 1):
        return False
    met: list[VantageMemory] = []
    spared: list[VantageMemory] = []
    for memory, facts in fresh:
        if not names.isdisjoint(facts):
            has_met = any(fact.issuer == issuer for fact in facts.values())
            (met if has_met else spared).append(memory)
    met_count = _count_prefixes(met)
    return met_count >= MIN_PREFIXES and met_count >= _count_prefixes(spared)


def _count_prefixes(memories: Iterable[VantageMemory]) -> int:
    """Count prefixes on the day that has most, because their hashes change every day."""
    by_day: defaultdict[int, set[str]] = defaultdict(set)
    for memory in memories:
        by_day[memory.day].add(memory.prefix)
    return max(map(len, by_day.values()), default=0)
