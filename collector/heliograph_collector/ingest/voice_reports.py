"""What was read out over the telephone, on its way to the journal, as what it is: a report.

It becomes an envelope's row by the carrier `code` (or `dns`), with one measurement of the
experiment `code`: one step per class, an exchange in the protocol `code`, whose reply is the word
that was said.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable

import zstandard

from heliograph import codec
from heliograph.failure import Operation
from heliograph.observation import Access, Epoch, Exchange, Link, Measurement, Observation
from heliograph.v1 import envelope_pb2 as pb
from heliograph.voice_code import CLASSES, Life, Report
from heliograph_collector.fleet.code_store import Codes, Word
from heliograph_collector.fleet.registry import Agent
from heliograph_collector.model.records import JournalRow, Kind, Role
from heliograph_collector.store.journal.journal import Journal, JournalError

CARRIER = EXPERIMENT = "code"
FIRST = 1 << 62  # sequences of codes: above all that an agent gives its own envelopes
EPOCH = "code"  # a code does not say on which network it was made
MINUTE_US = 60_000_000
_LOOK_S = 1.0
log = logging.getLogger("heliograph.intake")

Find = Callable[[bytes], Agent | None]


def word_of(report: Report, agent: Agent, received_us: int, carrier: str = CARRIER) -> Word:
    """Where it was made is where its agent was last seen."""
    made_us = report.minute * MINUTE_US
    access = agent.access if agent.access in set(Access) else Access.UNKNOWN
    batch = pb.Batch(
        agent=agent.id,
        sequence=FIRST + report.minute,
        sealed_us=made_us,
        epochs=[codec.epoch_to_pb(Epoch(id=EPOCH, started_us=made_us, access=Access(access)))],
        measurements=[codec.measurement_to_pb(_measurement(report, made_us))],
    )
    raw = batch.SerializeToString(deterministic=True)
    body = zstandard.ZstdCompressor(write_content_size=True).compress(raw)
    return Word(
        agent=agent.id, minute=report.minute, received_us=received_us, body=body, carrier=carrier
    )


async def hand_over(codes: Codes, find: Find, journal: Journal) -> None:
    """All that waits; whose agent was revoked meanwhile is dropped. Raises JournalError."""
    words = await asyncio.to_thread(codes.pending)
    rows = [_row(word, agent) for word in words if (agent := _standing(find, word)) is not None]
    if rows:
        await journal.append(rows)
    if words:
        await asyncio.to_thread(codes.handed_over, words)


async def follow(codes: Codes, find: Find, journal: Journal) -> None:
    """Look every second for what a command took in; never returns."""
    seen, troubled = -1, False
    while True:
        try:
            changes = await asyncio.to_thread(codes.changes)
            if changes != seen:
                await hand_over(codes, find, journal)
                seen, troubled = changes, False
        except (sqlite3.Error, JournalError) as error:
            if not troubled:
                log.warning("a code by voice has to wait: %s", error)
            troubled = True
        await asyncio.sleep(_LOOK_S)


def _standing(find: Find, word: Word) -> Agent | None:
    agent = find(word.agent)
    return None if agent is None or agent.revoked_s is not None else agent


def _row(word: Word, agent: Agent) -> JournalRow:
    return JournalRow(
        kind=Kind.ENVELOPE,
        agent=agent.id,
        received_us=word.received_us,
        country=agent.country,
        asn=agent.asn,
        role=Role(agent.voice),
        carrier=word.carrier,
        sequence=FIRST + word.minute,
        body=word.body,
        since_s=agent.created_s,
    )


def _measurement(report: Report, made_us: int) -> Measurement:
    return Measurement(
        experiment=EXPERIMENT,
        experiment_version=1,
        target="",
        started_us=made_us,
        monotonic_us=0,
        boot="",
        runtime_us=0,
        epoch=EPOCH,
        link=_link(report),
        observations=tuple(
            Observation(
                operation=Operation.EXCHANGE,
                started_us=0,
                duration_us=0,
                endpoint=name,
                exchange=Exchange(protocol=EXPERIMENT, reply=report.lives[name].value),
            )
            for name in CLASSES
            if report.lives[name] is not Life.UNKNOWN
        ),
    )


def _link(report: Report) -> Link:
    """In doubt unknown, as an agent tells it by its anchors."""
    lives = report.lives
    if lives["foreign"] is Life.ANSWERS:
        return Link.NO_RESOLVER if lives["dns"] is Life.FAILS else Link.ONLINE
    if lives["foreign"] is Life.FAILS and lives["domestic"] is Life.ANSWERS:
        return Link.DOMESTIC_ONLY
    dead = all(lives[name] is Life.FAILS for name in ("foreign", "domestic", "dns"))
    return Link.OFFLINE if dead else Link.UNKNOWN
