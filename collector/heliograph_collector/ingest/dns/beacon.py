"""Last words by DNS: opened, proven, kept like a code by voice, and then answered."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from heliograph import dns_beacon, keys
from heliograph.clock import Clock
from heliograph.voice_code import Report
from heliograph_collector.fleet.code_store import Codes
from heliograph_collector.fleet.registry import Agent
from heliograph_collector.ingest.voice_reports import hand_over, word_of
from heliograph_collector.store.journal.journal import Journal, JournalError

CARRIER = "dns"
log = logging.getLogger("heliograph.intake")


@dataclass(frozen=True, slots=True)
class Beacons:
    """`sealers` are whatever words may be sealed to; `keys_of` whatever an agent signs by."""

    codes: Codes
    sealers: Callable[[], Sequence[keys.SealingKey]]
    find: Callable[[bytes], Agent | None]
    keys_of: Callable[[bytes], Sequence[bytes]]
    journal: Journal
    clock: Clock

    async def take(self, sealed: bytes) -> str:
        """The address to answer, once the word is on disk; "" where it says nothing to us. One that
        came before is answered alike, for its answer may have been lost, and counts once."""
        try:
            answer = await asyncio.to_thread(self._take, sealed)
        except sqlite3.Error as error:
            log.warning("a word by DNS was not kept: %s", error)
            return ""
        if answer:
            await self._hand_over()
        return answer

    async def _hand_over(self) -> None:
        try:
            await hand_over(self.codes, self.find, self.journal)
        except (sqlite3.Error, JournalError) as error:
            log.warning("a word by DNS has to wait: %s", error)

    def _take(self, sealed: bytes) -> str:
        for sealer in self.sealers():
            with suppress(dns_beacon.BeaconError):
                return self._proven(dns_beacon.opened(sealed, sealer), sealer, sealed)
        return ""

    def _proven(self, said: dns_beacon.Said, sealer: keys.SealingKey, sealed: bytes) -> str:
        agent, now_us = self.find(said.agent), self.clock.wall_us()
        if agent is None or agent.revoked_s is not None:
            return ""
        for public_key in self.keys_of(agent.id):
            with suppress(ValueError):  # no point of the curve: such a key proves nothing
                key = sealer.shared_with(public_key, keys.BEACON)
                report = said.report(key, now_us // 60_000_000)
                if report is not None:
                    self._keep(report, agent, now_us)
                    return dns_beacon.answer(key, sealed)
        return ""

    def _keep(self, report: Report, agent: Agent, now_us: int) -> None:
        self.codes.keep(word_of(report, agent, now_us, CARRIER))
