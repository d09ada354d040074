"""The wheels of both distributions, built once for tests that inspect or install."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build both from this tree; return the folder. Its users share one xdist group."""
    folder = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    sources = [ROOT, ROOT / "agent" / "raw"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", folder, *sources], check=True)
    return folder
