"""A private world: a process tree with its network, mounts and process numbers.

Namespaces made inside are invisible outside, so several labs run side by side. The world's first
process waits on a pipe to us: when we end, in any way, the pipe closes, the process ends, and the
kernel removes everything else of the world with it.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support import requirements

PROGRAMS = ("ip", "nft", "iptables", "unshare", "nsenter", "tc")
# Names of namespaces, their resolv.conf, and sockets that are named after devices.
COVERED = ("/run/netns", "/etc/netns", "/run/wireguard")
FIRST = " && ".join(
    [
        *(f"mount -t tmpfs lab {folder}" for folder in COVERED),
        "ip link set lo up",
        "echo ready",
        "exec cat",
    ]
)


class World:
    """Runs commands inside; names of namespaces are free to choose."""

    def __init__(self, pid: int) -> None:
        self._enter = ["nsenter", "--target", str(pid), "--net", "--mount", "--pid", "--"]

    def command(self, space: str, argv: Sequence[str]) -> list[str]:
        """Return `argv` as run in the namespace `space`; "" is the world's own."""
        inside = ["ip", "netns", "exec", space] if space else []
        return [*self._enter, *inside, *argv]

    def run(self, space: str, *argv: str, text: str = "", timeout: float = 60) -> str:
        """Run a command; return its output, or raise with its error text."""
        done = subprocess.run(
            self.command(space, argv),
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            said = (done.stderr or done.stdout).strip()  # a refusal's body, of `curl --silent`
            raise RuntimeError(f"{space}: {' '.join(argv)}: {said[-2_000:]}")
        return done.stdout

    def script(self, lines: Sequence[str], space: str = "") -> None:
        """Run shell lines; the first that fails ends the script."""
        self.run(space, "sh", "-e", "-s", text="\n".join(lines) + "\n")


@contextmanager
def world() -> Iterator[World]:
    """Start a world, in some 50 ms; raise Missing where it cannot be had."""
    require()
    for folder in COVERED:  # must be there to be covered, and that is all that stays behind
        Path(folder).mkdir(parents=True, exist_ok=True)
    holder = subprocess.Popen(
        ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
         "sh", "-c", FIRST],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        if holder.stdout.readline() != b"ready\n":
            raise RuntimeError("the lab's world could not be made: is this root on a real kernel?")
        yield World(_first_process(holder.pid))
    finally:
        holder.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            holder.wait(timeout=10)
        holder.kill()
        holder.stdout.close()


class Missing(Exception):  # noqa: N818 - it is the state of a machine
    """The machine lacks something that a lab needs; the text is a sentence."""


def require() -> None:
    """Raise Missing if the machine lacks root or a program."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if os.geteuid() == 0 and not missing:
        return
    raise Missing(f"The lab needs root and {', '.join(PROGRAMS)}; missing: {missing or 'root'}.")


def require_for_test() -> None:
    """Skip the test with the reason on a user's machine; fail it in CI."""
    try:
        require()
    except Missing as reason:
        requirements.require(False, str(reason))


def _first_process(unshare: int) -> int:
    children = Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()
    return int(children[0])
