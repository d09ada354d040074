"""What is promised in words is there: commands, folders' manuals, nothing of this workplace."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMITTED = subprocess.run(
    ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.split("\n")[:-1]
ALLOWED_TOP = {
    "pyproject.toml", "README.md", "agent", "collector", "proto", "tests", "deploy", "Makefile",
    "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md",
}  # fmt: skip
# Spelled in pieces, so that this file does not find itself.
NOT_OURS = re.compile(
    "|".join(["/wo" + "rk/", "farm" + "-studio", "pypi" + r"\.org", "npmjs" + r"\.org"])
)


def test_the_top_level_is_as_promised() -> None:
    top = {name.split("/")[0] for name in COMMITTED}
    assert {name for name in top if not name.startswith(".")} <= ALLOWED_TOP


STAGES = "collector/heliograph_collector"
FOLDERS = ["agent", "agent/raw", "collector", "proto", "tests", "deploy/agent", "deploy/collector"]
FOLDERS += [f"{STAGES}/{stage}" for stage in ("store", "judge", "publish", "detect", "simulate")]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_has_its_manual(folder: str) -> None:
    assert len((ROOT / folder / "README.md").read_text()) > 300


def is_text(name: str) -> bool:
    path = ROOT / name
    return path.suffix not in (".bin", ".png", ".ttf") and path.is_file()


def test_nothing_names_the_workplace() -> None:
    found = [
        f"{name}: {match.group(0)}"
        for name in filter(is_text, COMMITTED)
        for match in NOT_OURS.finditer((ROOT / name).read_text())
    ]
    assert not found
