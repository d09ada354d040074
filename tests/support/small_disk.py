"""A small disk that nobody else sees, and modules of tests/support that run where they mount it."""

import contextlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.programs import TESTS, module_command

UNSHARED = ("unshare", "--mount", "--propagation", "private")


def told_by(module: str, directory: Path, *, timeout_s: float) -> dict[str, Any]:
    """The JSON that `python -m MODULE DIRECTORY` printed.

    Needs root and unshare: without them the test is skipped with the reason, and fails under
    CI=true.
    """
    _require()
    done = subprocess.run(
        [*UNSHARED, *module_command(module, str(directory))],
        cwd=TESTS,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
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


def _require() -> None:
    if shutil.which("unshare") and not subprocess.run([*UNSHARED, "true"], check=False).returncode:
        return
    reason = "needs root and unshare (util-linux) to mount a small disk"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
