"""Report the leader's public state to the hosts that publish.

Pages are made of three things. Votes and silences are in the store, incidents in the shared alert
log, and only the leader knows the rest: which agents are connected, when it was blind, which times
a stored block has changed. It reports that each REPORT_S, whole, so that a host needs no earlier
report. A report may be lost: the next number shows it, and its changed times are then unknown. No
report names an agent or an address, and counts are those of the public pages.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol

import msgspec

from heliograph_collector.aggregate.cell_updater import list_cell_times
from heliograph_collector.app.cluster_messages import MessageError, encode
from heliograph_collector.http.backend import AgentCounts, Feed, LinkCount
from heliograph_collector.model.published.annotation import AnnotationDocument
from heliograph_collector.model.records import BlindTime, Block

log = logging.getLogger("heliograph")
PUBLIC = "public"  # the word of its subject
REPORT_S = 2.0  # as often as pages are made again at most (http.api.stream)
COUNTED = 5  # reports; every session is counted for it, and pages show counts of a quarter minute
MAX_TOUCHED = 20_000  # times of one report; more are left to the host's own refresh
MAX_ANNOTATED = 100  # incidents, the last annotated; some 3 kB each, and a message has 4 MB


class PublicReport(msgspec.Struct, frozen=True, kw_only=True):
    """All times in microseconds UTC; numbers count up by one in a run of a leader."""

    run: str  # a leader's own random name, of this run
    number: int
    at_us: int
    log_entries: int
    public_key: bytes  # of the alert log
    services_version: str
    k_anonymity: int
    targets: tuple[str, ...]
    untested: list[str]
    links: list[LinkCount]
    agents: AgentCounts
    gaps: list[BlindTime]
    problems: list[str]
    touched_us: list[int] | None  # None: too many to list
    annotations: Mapping[str, list[AnnotationDocument]]  # by incident


_DECODER = msgspec.msgpack.Decoder(PublicReport)


def decode_public(content: bytes) -> PublicReport:
    """Decode a report. Raises MessageError."""
    try:
        return _DECODER.decode(content)
    except msgspec.MsgspecError as error:
        raise MessageError(str(error)) from error


class MessageSender(Protocol):
    """Messages to all that listen. Implemented by jetstream.bus.Bus."""

    async def publish(self, topic: str, content: bytes) -> bool: ...


class NewestAnnotations(Protocol):
    """Outside sources' reports on incidents. Implemented by app.outside.PublishedAnnotations."""

    def list_newest(self, count: int) -> Mapping[str, list[AnnotationDocument]]: ...


class PublicReporter:
    """Report to the hosts that publish; it observes each judged block."""

    def __init__(self, bus: MessageSender, run: str, services_version: str) -> None:
        self._bus = bus
        self._run = run
        self._services_version = services_version
        self._number = 0
        self._touched_us: set[int] = set()
        self._links: list[LinkCount] = []
        self._agents = AgentCounts()

    def on_block(self, block: Block) -> None:
        if len(self._touched_us) <= MAX_TOUCHED:
            self._touched_us.update(list_cell_times(block))

    async def run(self, feed: Feed, annotations: NewestAnnotations) -> None:
        """Report until cancelled, every REPORT_S."""
        was_sent = True
        while True:
            content = encode(self.compose(feed, annotations))
            is_sent = await self._bus.publish(PUBLIC, content)
            if was_sent and not is_sent:
                log.warning(
                    "Hosts that only publish hear nothing: the servers are away, or refuse a "
                    "message of %s bytes.",
                    len(content),
                )
            was_sent = is_sent
            await asyncio.sleep(REPORT_S)

    def compose(self, feed: Feed, annotations: NewestAnnotations) -> PublicReport:
        """Compose the next report."""
        if self._number % COUNTED == 0:
            self._links = list(feed.links())
            self._agents = feed.agents()
        self._number += 1
        touched_us = self._touched_us
        self._touched_us = set()
        now_us = feed.clock.wall_us()
        return PublicReport(
            run=self._run,
            number=self._number,
            at_us=now_us,
            log_entries=len(feed.book.entries),
            public_key=feed.public_key,
            services_version=self._services_version,
            k_anonymity=feed.k_anonymity,
            targets=tuple(feed.targets),
            untested=sorted(feed.untested),
            links=self._links,
            agents=self._agents,
            gaps=list(feed.list_gaps(0, now_us + 1)),
            problems=list(feed.problems()),
            touched_us=sorted(touched_us) if len(touched_us) <= MAX_TOUCHED else None,
            annotations=annotations.list_newest(MAX_ANNOTATED),
        )
