"""Pseudonyms of measurements, and of vantages for one network and one month."""

import hashlib
from datetime import UTC, datetime
from functools import lru_cache

from heliograph.units import DAY_S, DAY_US

_MEASUREMENT = b"heliograph measurement v1\0"
_VANTAGE = b"heliograph vantage v1\0"
_KEPT = 256  # names; assumed
# RFC 2104: the hash's block, and what the key is combined with before each of the two hashes.
_BLOCK_BYTES = 64
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


class Pseudonyms:
    """Pseudonyms keyed by the collector's secret, so that nobody can test a guess."""

    def __init__(self, secret: bytes) -> None:
        key = secret if len(secret) <= _BLOCK_BYTES else hashlib.sha256(secret).digest()
        block = key.ljust(_BLOCK_BYTES, b"\0")
        # Both hashes of HMAC after the key: to begin there takes a third of `hmac.digest`, and each
        # result has five names.
        self._inner = hashlib.sha256(block.translate(_INNER))
        self._outer = hashlib.sha256(block.translate(_OUTER))
        # All parts of a round have one vantage and one reporter.
        self._name = lru_cache(_KEPT)(self._compute_name)

    def measurement(self, agent: bytes, sequence: int, index: int) -> str:
        """Return 32 hex digits for a measurement, equal on every replay."""
        position = sequence.to_bytes(8, "big") + index.to_bytes(4, "big")
        return self._digest(_MEASUREMENT, agent + position)[:16].hex()

    def vantage(self, agent: bytes, country: str, asn: int, at_us: int) -> str:
        """Return 16 hex digits that change with the network and the UTC month."""
        return self._name(agent, country, asn, _name_month(at_us // DAY_US))

    def reporter(self, agent: bytes, at_us: int) -> str:
        """Return 16 hex digits, the same on all networks, which no store ever holds."""
        return self.vantage(agent, "", 0, at_us)

    def _compute_name(self, agent: bytes, country: str, asn: int, month: str) -> str:
        return self._digest(_VANTAGE, agent + f"{country} {asn} {month}".encode())[:8].hex()

    def _digest(self, purpose: bytes, message: bytes) -> bytes:
        """Compute HMAC-SHA256."""
        inner = self._inner.copy()
        inner.update(purpose + message)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()


@lru_cache(256)  # days; an agent's spool keeps 120
def _name_month(day: int) -> str:
    return datetime.fromtimestamp(day * DAY_S, UTC).strftime("%Y-%m")
