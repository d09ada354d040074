"""The agent where volunteers run it: as user 65532, on a root that is read-only but for its state,
without capabilities, new privileges or memory that is written and run. As the container has it and,
but for its system-call filter, the unit."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from heliograph import codec, keys
from heliograph.clock import SystemClock
from heliograph.plan import PlannedTask
from heliograph.v1 import plan_pb2
from heliograph_agent.consent import consent
from heliograph_agent.state import CONSENT, PLAN, Collector, State
from heliograph_collector.fleet.certificate import make_certificate
from support import local_targets
from support.netns import Namespace, namespace
from support.programs import eventually, started
from support.scripted_intake import plan_of

REPO = Path(__file__).parents[2]
USER = 65_532
NEEDED = ("unshare", "setpriv", "mount", "chroot")
ROOM = """
set -e
root=$1; state=$2; shift 2
mount -t tmpfs -o mode=755 none "$root"
for each in /usr /etc {paths}; do
  mkdir -p "$root$each"; mount --rbind "$each" "$root$each"; mount -o remount,bind,ro "$root$each"
done
for each in bin lib lib64 sbin; do [ -L /$each ] && cp -P /$each "$root/$each"; done
mkdir "$root/state" "$root/proc" "$root/dev"
mount --bind "$state" "$root/state"
mount -t proc proc "$root/proc"
for each in null urandom random; do touch "$root/dev/$each"; mount --bind /dev/$each "$root/dev/$each"; done
mount -o remount,ro "$root"
exec chroot "$root" setpriv --reuid {user} --regid {user} --clear-groups --no-new-privs \\
  --bounding-set=-all --inh-caps=-all --ambient-caps=-all "$@"
"""  # noqa: E501 - a shell's lines
# PR_SET_MDWE, refuse exec gain: what MemoryDenyWriteExecute asks for, kept over exec. Kernel 6.3.
LOCKED = """
import ctypes, mmap, os, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0:
    try:
        mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        sys.exit("memory that is written and run was given")
    except PermissionError:
        pass
os.chdir("/state")
os.execv(sys.executable, [sys.executable, "-m", "heliograph_agent", *sys.argv[1:]])
"""
LOOK = """
import os
for place in ("/usr", "/etc", "/", "/state/.."):
    try:
        open(f"{place}/probe", "w")
    except OSError:
        continue
    raise SystemExit(f"{place} can be written")
open("/state/probe", "w").close()
os.unlink("/state/probe")
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
print(os.getuid(), os.getgroups(), status["CapBnd"].strip(), status["CapEff"].strip(),
      status["NoNewPrivs"].strip())
"""


@pytest.fixture
def space() -> Iterator[Namespace]:
    missing = [program for program in NEEDED if shutil.which(program) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    with namespace() as made:
        yield made


class Room:
    """Where it runs. `state` is what it has to itself."""

    def __init__(self, folder: Path, space: Namespace) -> None:
        self.root, self.state, self.space = folder / "root", State(folder / "state"), space
        self.root.mkdir()
        local_targets.allow(self.state.root)

    def command(self, *words: str) -> list[str]:
        import site

        paths = dict.fromkeys([sys.base_prefix, str(REPO), *site.getsitepackages()])
        script = ROOM.format(
            user=USER, paths=" ".join(p for p in paths if not p.startswith("/usr"))
        )
        room = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "room"]
        return self.space.command([*room, str(self.root), str(self.state.root), *words])

    def python(self, code: str, *words: str) -> list[str]:
        return self.command("env", "-i", "HOME=/state", "PYTHONDONTWRITEBYTECODE=1",
                            sys.executable, "-c", code, *words)  # fmt: skip

    def agent(self, *words: str) -> list[str]:
        return self.python(LOCKED, *words)

    def join(self, *tasks: PlannedTask) -> None:
        """As a join leaves the directory, of a collector that is not there."""
        signer = keys.SigningKey(self.state.private_key(make=True) or b"")
        who = keys.SigningKey(b"w" * 32)
        certificate = make_certificate([]).decode()
        self.state.save_collector(
            Collector(
                endpoint="127.0.0.1:1", pin=b"p" * 32, signing_key=who.public,
                certificate=certificate[certificate.index("-----BEGIN CERTIFICATE") :],
                sealing_key=keys.SealingKey(b"s" * 32).public, agent=keys.agent_id(signer.public),
            )
        )  # fmt: skip
        body = codec.plan_to_pb(plan_of(*tasks)).SerializeToString()
        signed = plan_pb2.SignedPlan(plan=body, signature=who.sign(keys.PLAN, body))
        self.state.write(PLAN, signed.SerializeToString())
        given = consent.Consent(
            given_us=SystemClock().wall_us(), plan_version=1, scope=frozenset({consent.EVERYTHING})
        )
        self.state.write_json(CONSENT, given.to_json())
        for file in (self.state.root, *self.state.root.iterdir()):
            os.chown(file, USER, USER)


@pytest.fixture
def room(space: Namespace, tmp_path: Path) -> Room:
    return Room(tmp_path, space)


@pytest.mark.lab
def test_the_room_is_as_small_as_it_is_meant_to_be(room: Room) -> None:
    os.chown(room.state.root, USER, USER)
    done = subprocess.run(room.python(LOOK), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    nothing = "0" * 16
    assert done.stdout.split() == [str(USER), "[]", nothing, nothing, "1"]


@pytest.mark.lab
def test_the_agent_measures_there_as_the_container_starts_it(room: Room, tmp_path: Path) -> None:
    """By the Dockerfile's own CMD, under the unit's limits of memory and tasks."""
    room.join(PlannedTask(experiment="tcp", target="127.0.0.1:9", interval_s=1))
    log = tmp_path / "agent.log"
    with started(room.agent(*_docker("CMD")), log) as process:
        eventually(lambda: _queued(room.state) > 0 or process.poll() is not None, "a result", 30)
        assert process.poll() is None, log.read_text()
        inside = _of_user(USER)
        assert inside, "it runs as the user that it is meant to run as"
        fields = (Path("/proc") / str(inside[0]) / "status").read_text().splitlines()
        told = dict(line.split(":\t", 1) for line in fields if ":\t" in line)
        print(f"high water {told['VmHWM'].strip()}, {told['Threads']} threads")
        assert int(told["VmHWM"].split()[0]) < 128 * 1024
        assert int(told["Threads"]) < 64
        os.kill(inside[0], signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    assert "Traceback" not in log.read_text(), log.read_text()


def _docker(word: str) -> list[str]:
    lines = (REPO / "deploy" / "agent" / "Dockerfile").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{word} "))
    found = yaml.safe_load(line.removeprefix(f"{word} "))
    assert isinstance(found, list)
    return [str(each) for each in found]


def _queued(state: State) -> int:
    try:
        told = json.loads(state.path("status.json").read_text())
    except (OSError, ValueError):
        return 0
    return int(told["queued_measurements"])


def _of_user(user: int) -> list[int]:
    """Processes of that user, as they are numbered here."""
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            try:
                if each.stat().st_uid == user:
                    found.append(int(each.name))
            except OSError:
                continue
    return sorted(found)
