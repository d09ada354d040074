"""A private network namespace for dropped packets and missing routes.

    @pytest.fixture
    def lab() -> Iterator[Namespace]:
        with namespace() as space:
            yield space

Needs root, iproute2 and nftables: without them the test is skipped with the reason, and fails
under CI=true. Only loopback exists inside, so nothing can leave it.
"""

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from support.requirements import require

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Namespace:
    name: str

    def command(self, argv: Sequence[str]) -> list[str]:
        return ["ip", "netns", "exec", self.name, *argv]

    def run(self, *argv: str, text: str = "", timeout: float = 60) -> str:
        """Run a command; return its output, or raise with its standard error."""
        return _run(self.command(argv), text, timeout)

    def python(self, code: str, timeout: float = 60) -> str:
        """Run `code` inside by this interpreter; return its output."""
        return self.run(sys.executable, "-c", code, timeout=timeout)

    def address(self, address: str) -> None:
        """Give the namespace's loopback one more address, 192.0.2.7/32."""
        self.run("ip", "address", "add", address, "dev", "lo")

    def filter(self, *rules: str) -> None:
        """Add nftables rules for incoming packets: "tcp dport 443 drop"."""
        lines = "\n".join(f"    {rule}" for rule in rules)
        chain = f"chain input {{ type filter hook input priority 0;\n{lines}\n}}"
        self.run("nft", "-f", "-", text=f"table inet lab {{\n{chain}\n}}\n")


@contextmanager
def namespace() -> Iterator[Namespace]:
    """Make a namespace with loopback up; skip the test where it cannot be had."""
    _require()
    space = Namespace(f"heliograph-{os.getpid()}-{next(_numbers)}")
    _run(["ip", "netns", "add", space.name])
    try:
        space.run("ip", "link", "set", "lo", "up")
        yield space
    finally:
        _run(["ip", "netns", "delete", space.name])


def _require() -> None:
    missing = [program for program in ("ip", "nft") if shutil.which(program) is None]
    reason = f"needs root, ip and nft (missing: {', '.join(missing) or 'root'})"
    require(os.geteuid() == 0 and not missing, reason)


def _run(argv: Sequence[str], text: str = "", timeout: float = 30) -> str:
    done = subprocess.run(
        argv, input=text, capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout
