"""A small coverage-guided fuzzer: inputs that reach a new line are mutated."""

import random
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

PIECES = (
    b"null", b"true", b"{}", b"[]", b'""', b"-1", b"1e999", b"NaN", b"9" * 400, b"[" * 2_000,
    b"\\ud800", b"\xff\xfe", b"\0", b"\n", b",", b"&a", b"*a", b"!!python/none", b"\x1f\x8b\x08",
    b"BZh9", b"-", b" ", b"0x7fffffffffffffff", b"1970-01-01T00:00:00Z", b"\xe2\x80\xae",
)  # fmt: skip
MAX_INPUT = 16_384
Line = tuple[str, int]


@dataclass
class Fuzzer:
    """Run `target`, which may raise `refusals` and nothing else, on ever new inputs."""

    target: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
    rng: random.Random
    corpus: list[bytes] = field(default_factory=list)
    lines: set[Line] = field(default_factory=set)
    steps: int = 0  # most lines of ours that one input took

    def run(self, seeds: Iterable[bytes], goes_on: Callable[[int], bool]) -> int:
        """Fuzz while `goes_on(count)`; return the count.

        A finding is raised with its input.
        """
        for seed in seeds:
            self._try(seed)  # which keeps it, as all its lines are new
        count = 0
        while goes_on(count):
            count += 1
            self._try(self._mutate(self.rng.choice(self.corpus)))
        return count

    def _try(self, data: bytes) -> None:
        before, taken = len(self.lines), 0

        def trace(frame: FrameType, event: str, _argument: Any) -> Any:
            nonlocal taken
            if "heliograph" not in frame.f_code.co_filename:
                return None
            taken += 1
            self.lines.add((frame.f_code.co_filename, frame.f_lineno))
            return trace

        previous = sys.gettrace()
        sys.settrace(trace)
        try:
            self.target(data)
        except self.refusals:
            pass
        except Exception as error:
            error.add_note(f"input: {data!r}")
            raise
        finally:
            sys.settrace(previous)
        self.steps = max(self.steps, taken)
        if len(self.lines) > before:
            self.corpus.append(data)

    def _mutate(self, data: bytes) -> bytes:
        for _ in range(self.rng.choice((1, 1, 2, 4, 8))):
            at, end = sorted(self.rng.choices(range(len(data) + 1), k=2))
            end = min(end, at + self.rng.choice((0, 1, 4, 16, 4_096)))
            other = self.rng.choice(self.corpus)
            start = self.rng.randrange(len(other) + 1)
            piece = self.rng.choice(
                (
                    self.rng.choice(PIECES),
                    self.rng.randbytes(1),
                    b"",
                    data[at:end] * 2,
                    other[start : start + 64],
                )
            )
            data = (data[:at] + piece + data[end:])[:MAX_INPUT]
        return data
