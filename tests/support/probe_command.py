"""Run `heliograph-agent probe` as a user does: process, JSON lines, exit code."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "heliograph_agent")
_DEADLINE_S = 90.0


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def observations(self) -> list[dict[str, Any]]:
        """Return the steps; the line before them has the target and the result."""
        return [json.loads(line) for line in self.out.splitlines()[1:]]

    @property
    def whole(self) -> dict[str, Any]:
        return dict(json.loads(self.out.splitlines()[0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """The probe's state folder, its options, and the namespace it runs in."""

    state: Path
    options: Mapping[str, str] = field(default_factory=dict)
    inside: Sequence[str] = ()

    def line(self, experiment: str, target: str, *more: str) -> list[str]:
        options = [f"--option={key}={value}" for key, value in self.options.items()]
        where = [f"--state={self.state}", *options, *more]
        return [*self.inside, *COMMAND, "probe", experiment, *([target] if target else []), *where]

    def run(self, experiment: str, target: str, *more: str) -> Ran:
        line = self.line(experiment, target, *more)
        done = subprocess.run(
            line, capture_output=True, text=True, timeout=_DEADLINE_S, check=False
        )
        return Ran(done.returncode, done.stdout, done.stderr)


def story(observations: Sequence[Mapping[str, Any]]) -> str:
    """Return the steps in order as words, once each, a failed one as step!failure.

    Lookups of IPv6 addresses are left out: loopback names have none.
    """
    words: list[str] = []
    for seen in sorted(observations, key=lambda o: int(o["started_us"])):
        if seen["dns"] and seen["dns"]["query_type"] == "AAAA":
            continue
        word = seen["operation"] + (f"!{seen['failure']}" if seen["failure"] else "")
        if word not in words:
            words.append(word)
    return " ".join(words)
