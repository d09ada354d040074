"""Conversion of voice codes and DNS beacons to journal rows.

A report becomes an envelope row with the carrier `code` (or `dns`) and one measurement of the
experiment `code`: one exchange per class in the protocol `code`, whose reply is the state.
"""

import asyncio
import logging
import sqlite3

from heliograph import codec
from heliograph.observation import Access, Epoch, Measurement
from heliograph.units import MINUTE_US
from heliograph.v1 import envelope_pb2 as pb
from heliograph.voice_code import CLASSES, ServiceState, StatusReport
from heliograph.zstd_frame import compress_frame
from heliograph_collector.fleet.code_store import ProvenCode, VoiceCodeStore
from heliograph_collector.fleet.registry import EnrolledAgent
from heliograph_collector.ingest.role_changes import AgentFinder
from heliograph_collector.model.records import AgentRole, JournalRow, RowKind
from heliograph_collector.store.journal.decode import build_exchanges, derive_link
from heliograph_collector.store.journal.journal import JournalError
from heliograph_collector.store.journal.protocol import JournalProtocol

CARRIER = EXPERIMENT = "code"
FIRST_SEQUENCE = 1 << 62  # first sequence of codes, above all sequences of envelopes
CODE_EPOCH = "code"  # a code does not contain the network where it was made
_POLL_S = 1.0
log = logging.getLogger("heliograph.intake")


def build_code(
    report: StatusReport, agent: EnrolledAgent, received_us: int, carrier: str = CARRIER
) -> ProvenCode:
    """Build a code's batch, located where its agent was last seen."""
    made_us = report.minute * MINUTE_US
    access = agent.access if agent.access in set(Access) else Access.UNKNOWN
    batch = pb.Batch(
        agent=agent.id,
        sequence=FIRST_SEQUENCE + report.minute,
        sealed_us=made_us,
        epochs=[codec.epoch_to_pb(Epoch(id=CODE_EPOCH, started_us=made_us, access=Access(access)))],
        measurements=[codec.measurement_to_pb(_build_measurement(report, made_us))],
    )
    raw = batch.SerializeToString(deterministic=True)
    body = compress_frame(raw)
    return ProvenCode(
        agent=agent.id, minute=report.minute, received_us=received_us, body=body, carrier=carrier
    )


async def deliver_codes(
    code_store: VoiceCodeStore, agents: AgentFinder, journal: JournalProtocol
) -> None:
    """Append pending codes of active agents to the journal. Raises JournalError."""
    pending_codes = await asyncio.to_thread(code_store.list_pending)
    rows = [
        _build_row(code, agent)
        for code in pending_codes
        if (agent := agents.get(code.agent)) is not None and agent.revoked_s is None
    ]
    if rows:
        await journal.append(rows)
    if pending_codes:
        await asyncio.to_thread(code_store.mark_delivered, pending_codes)


async def watch_codes(
    code_store: VoiceCodeStore, agents: AgentFinder, journal: JournalProtocol
) -> None:
    """Poll every second for codes that a command stored; never return."""
    delivered_version = -1
    is_failing = False
    while True:
        try:
            data_version = await asyncio.to_thread(code_store.data_version)
            if data_version != delivered_version:
                await deliver_codes(code_store, agents, journal)
                delivered_version = data_version
                is_failing = False
        except (sqlite3.Error, JournalError) as error:
            if not is_failing:
                log.warning("a code by voice has to wait: %s", error)
            is_failing = True
        await asyncio.sleep(_POLL_S)


def _build_row(code: ProvenCode, agent: EnrolledAgent) -> JournalRow:
    return JournalRow(
        kind=RowKind.ENVELOPE,
        agent=agent.id,
        received_us=code.received_us,
        country=agent.country,
        asn=agent.asn,
        role=AgentRole(agent.result_role),
        carrier=code.carrier,
        sequence=FIRST_SEQUENCE + code.minute,
        body=code.body,
        since_s=agent.created_s,
    )


def _build_measurement(report: StatusReport, made_us: int) -> Measurement:
    state_by_class = {
        name: report.states[name].value
        for name in CLASSES
        if report.states[name] is not ServiceState.UNKNOWN
    }
    return Measurement(
        experiment=EXPERIMENT,
        experiment_version=1,
        target="",
        started_us=made_us,
        monotonic_us=0,
        boot="",
        runtime_us=0,
        epoch=CODE_EPOCH,
        link=derive_link(state_by_class),
        observations=build_exchanges(EXPERIMENT, state_by_class),
    )
