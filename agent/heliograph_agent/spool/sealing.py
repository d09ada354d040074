"""Seal results into envelopes of a limited size, within a transaction."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from heliograph.observation import Epoch
from heliograph_agent.spool.priority import SealError


class BatchSealer(Protocol):
    """Seal measurements so that only the collector can read them.

    Implemented by runtime.collector_sealer.CollectorSealer.
    """

    def seal_batch(
        self, sequence: int, measurements: Sequence[bytes], epochs: Sequence[Epoch]
    ) -> bytes:
        """Return an envelope; one number may be sealed more than once before it is stored."""


class OpenRow(NamedTuple):
    """Hold a measurement that is not sealed yet."""

    sequence: int
    epoch: Epoch
    body: bytes


@dataclass(frozen=True, slots=True)
class EnvelopeSealer:
    """Seal by `sealer`, whose errors differ from those of the spool's own disk."""

    sealer: BatchSealer
    max_bytes: int

    def seal(self, number: int, bodies: Sequence[bytes], epochs: Sequence[Epoch]) -> bytes:
        """Seal measurements. Raises SealError when the disk of the key fails."""
        try:
            return self.sealer.seal_batch(number, bodies, epochs)
        except (OSError, sqlite3.Error) as error:
            raise SealError(error) from error

    def seal_rows(self, number: int, rows: Sequence[OpenRow]) -> bytes:
        """Seal open rows with their epochs, each epoch once and as the newest row has it."""
        epochs = {row.epoch.id: row.epoch for row in rows}
        return self.seal(number, [row.body for row in rows], list(epochs.values()))

    def seal_first_fitting(
        self, number: int, variants: Iterable[Sequence[bytes]], epochs: Sequence[Epoch]
    ) -> bytes:
        """Seal the first variant that fits, else the last; return b"" without any."""
        sealed = b""
        for bodies in variants:
            sealed = self.seal(number, bodies, epochs)
            if self.fits(sealed):
                break
        return sealed

    def fits(self, sealed: bytes) -> bool:
        return len(sealed) <= self.max_bytes
