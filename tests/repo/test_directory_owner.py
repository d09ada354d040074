"""Root's commands leave nothing in a service's directory that it cannot read."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from heliograph.directory_owner import PROGRAM

USER = 65_532
AS_USER = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root becomes another user"
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a folder that every user reaches, which pytest's own is not."""
    with TemporaryDirectory() as made:
        place = Path(made)
        place.chmod(0o755)
        yield place


@pytest.fixture
def state(folder: Path) -> Path:
    """Make the directory of a service that can run this very Python."""
    for place in PROGRAM:
        if subprocess.run([*AS_USER, "test", "-r", place], check=False).returncode:
            pytest.skip(f"{place} is closed to other users")
    return make_directory(folder)


def make_directory(folder: Path) -> Path:
    directory = folder / "state"
    directory.mkdir(mode=0o700)
    (directory / "collector.json").touch()  # an agent has joined
    for path in (directory, *directory.iterdir()):
        os.chown(path, USER, USER)
    return directory


def run_program(role: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", f"heliograph_{role}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_service_can_read_that_root_paused_it(state: Path) -> None:
    done = run_program("agent", "pause", "--state", str(state))
    assert done.returncode == 0, done.stderr
    paused = (state / "paused.json").stat()
    assert (paused.st_uid, paused.st_gid, stat.S_IMODE(paused.st_mode)) == (USER, USER, 0o600)


def test_service_can_read_the_keys_that_root_made_by_an_invite(state: Path) -> None:
    (state / "collector.json").unlink()  # an empty one may become a collector's
    done = run_program("collector", "invite", "--data", str(state), "--endpoint", "127.0.0.1:7443")
    assert done.returncode == 0, done.stderr
    owners = {path.name: path.stat().st_uid for path in state.rglob("*")}
    assert {"fleet.db", "root.key"} <= set(owners)
    assert set(owners.values()) == {USER}


def test_link_in_the_directory_leads_root_nowhere(state: Path) -> None:
    """A symlink in the directory does not lead root to another file.

    A compromised service waits for root to overwrite a file of the system.
    """
    victim = state.parent / "victim"
    victim.write_text("kept")
    (state / ".paused.json.new").symlink_to(victim)
    (state / "paused.json").symlink_to(victim)
    assert run_program("agent", "pause", "--state", str(state)).returncode == 1
    assert victim.read_text() == "kept"


def test_root_stays_root_where_the_owner_has_no_way_in(folder: Path) -> None:
    """Root stays root where the owner cannot enter, as in /var/lib/private."""
    closed = folder / "private"
    closed.mkdir(mode=0o700)
    directory = make_directory(closed)
    done = run_program("agent", "pause", "--state", str(directory))
    assert done.returncode == 0, done.stderr
    assert (directory / "paused.json").stat().st_uid == 0
