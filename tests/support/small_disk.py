"""A small private disk, and modules of tests/support that run where it is mounted."""

import contextlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from support.programs import ask, module_command
from support.requirements import require

UNSHARED = ("unshare", "--mount", "--propagation", "private")


def can_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    return not subprocess.run([*UNSHARED, "true"], check=False, capture_output=True).returncode


def told_by(module: str, directory: Path, *, timeout_s: float) -> dict[str, Any]:
    """Run `python -m MODULE DIRECTORY`; return the JSON that it printed.

    Needs root and unshare: without them the test is skipped with the reason, and fails under
    CI=true.
    """
    require(can_unshare(), "needs root and unshare (util-linux) to mount a small disk")
    command = [*UNSHARED, *module_command(module, str(directory))]
    told: dict[str, Any] = json.loads(ask(command, timeout_s=timeout_s))
    print(f"\nfull disk: {told}")
    return told


def mount(size: str, folder: Path) -> bool:
    """Mount an empty disk; return whether this process may."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def fill_up(path: Path) -> None:
    """Let a file take all the room that is left."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4_096))
