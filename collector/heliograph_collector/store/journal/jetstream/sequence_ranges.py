"""Exact ranges of the sequences of trimmed envelopes, by agent.

The servers refuse a repeat as long as they have the first. Before a row is deleted its sequence is
written here, so that a copy that comes later is still recognized. The ranges of a partition (agents
whose ids begin with the same byte) are one value: 256 values are read in a moment at a start, and
a million agents have some 130 kB in each.
"""

import bisect
import struct
from collections.abc import Iterable, Iterator, Mapping

from heliograph_collector.store.journal.tables import merge_ranges

PARTITIONS = 256
AGENT_BYTES = 16
_RANGE = struct.Struct(">QQ")  # first and last, both inclusive
_HEAD = struct.Struct(f">{AGENT_BYTES}sI")  # agent, and the number of its ranges


class SequenceRanges:
    """Sequences per agent; 16 bytes of memory for each range beside the agent's entry."""

    def __init__(self) -> None:
        self._packed_by_agent: dict[bytes, bytes] = {}
        self._agents_by_partition: list[set[bytes]] = [set() for _ in range(PARTITIONS)]

    def contains(self, agent: bytes, sequence: int) -> bool:
        packed = self._packed_by_agent.get(agent)
        if packed is None:
            return False
        starts = _Starts(packed)
        index = bisect.bisect_right(starts, sequence) - 1
        return index >= 0 and sequence <= _RANGE.unpack_from(packed, index * _RANGE.size)[1]

    def add(self, sequences_by_agent: Mapping[bytes, Iterable[int]]) -> set[int]:
        """Add sequences; return the partitions that changed."""
        changed = set()
        for agent, sequences in sequences_by_agent.items():
            old = self._packed_by_agent.get(agent, b"")
            ranges = merge_ranges(_RANGE.iter_unpack(old), sequences)
            packed = b"".join(_RANGE.pack(*one) for one in ranges)
            if packed != old:
                self._put(agent, packed)
                changed.add(agent[0])
        return changed

    def add_range(self, agent: bytes, first: int, last: int) -> None:
        """Add a range that touches none of the agent's others."""
        ranges = [*_RANGE.iter_unpack(self._packed_by_agent.get(agent, b"")), (first, last)]
        self._put(agent, b"".join(_RANGE.pack(*one) for one in sorted(ranges)))

    def list_ranges(self) -> Iterator[tuple[bytes, int, int]]:
        """Yield agent, first and last of each range."""
        for agent, packed in self._packed_by_agent.items():
            for first, last in _RANGE.iter_unpack(packed):
                yield agent, first, last

    @property
    def agents(self) -> int:
        return len(self._packed_by_agent)

    def dump(self, partition: int) -> bytes:
        """Return the ranges of a partition, for `load`."""
        parts = []
        for agent in sorted(self._agents_by_partition[partition]):
            packed = self._packed_by_agent[agent]
            parts.append(_HEAD.pack(agent, len(packed) // _RANGE.size) + packed)
        return b"".join(parts)

    def load(self, content: bytes) -> None:
        """Take what `dump` returned for its agents. Raises ValueError if it is damaged."""
        for agent, packed in _iterate_agents(content):
            self._put(agent, packed)

    def merge(self, content: bytes) -> None:
        """Add the ranges of a `dump` to the present ones. Raises ValueError for damage."""
        for agent, packed in _iterate_agents(content):
            own = self._packed_by_agent.get(agent, b"")
            ranges = merge_ranges([*_RANGE.iter_unpack(own), *_RANGE.iter_unpack(packed)], ())
            self._put(agent, b"".join(_RANGE.pack(*one) for one in ranges))

    def _put(self, agent: bytes, packed: bytes) -> None:
        self._packed_by_agent[agent] = packed
        self._agents_by_partition[agent[0]].add(agent)


def _iterate_agents(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield each agent and its packed ranges. Raises ValueError."""
    at = 0
    while at < len(content):
        try:
            agent, count = _HEAD.unpack_from(content, at)
        except struct.error as error:
            raise ValueError("ranges are cut off") from error
        at += _HEAD.size
        packed = content[at : at + count * _RANGE.size]
        if len(packed) != count * _RANGE.size:
            raise ValueError("ranges are cut off")
        yield agent, packed
        at += len(packed)


class _Starts:
    """The first sequence of each range, for bisect."""

    def __init__(self, packed: bytes) -> None:
        self._packed = packed

    def __len__(self) -> int:
        return len(self._packed) // _RANGE.size

    def __getitem__(self, index: int) -> int:
        first: int = _RANGE.unpack_from(self._packed, index * _RANGE.size)[0]
        return first
