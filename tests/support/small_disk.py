"""Runs a module of tests/support where it may mount a small disk that nobody else sees."""

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


def _require() -> None:
    if shutil.which("unshare") and not subprocess.run([*UNSHARED, "true"], check=False).returncode:
        return
    reason = "needs root and unshare (util-linux) to mount a small disk"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
