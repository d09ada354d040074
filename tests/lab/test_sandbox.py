"""Agent and collector run in the sandbox of their deployment.

It has user 65532, a read-only root but for their state, no capabilities, and the limits of their
units (support/unit_limits.py).
"""

import json
import os
import shutil
import signal
import site
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from heliograph import codec, keys
from heliograph.clock import SystemClock
from heliograph.plan import PlannedTask
from heliograph.v1 import plan_pb2
from heliograph_agent import consent
from heliograph_agent.state import CONSENT, PLAN, Collector, State
from heliograph_collector.fleet.certificate import make_certificate
from support import local_targets
from support.netns import Namespace, namespace
from support.programs import eventually, started
from support.scripted_intake import plan_of

# One after another: each looks for the processes of the same user.
pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("sandbox")]
REPO = Path(__file__).parents[2]
USER = 65_532
NEEDED = ("unshare", "setpriv", "mount", "chroot")
SANDBOX = """
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
"""  # noqa: E501 - lines of a shell
UNDER_UNIT = REPO / "tests" / "support" / "unit_limits.py"
INSPECT = """
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


class Sandbox:
    """A sandbox whose agent has `state` to itself."""

    def __init__(self, folder: Path, space: Namespace) -> None:
        self.root, self.state, self.space = folder / "root", State(folder / "state"), space
        self.root.mkdir()
        local_targets.allow(self.state.root)

    def python(self, *arguments: str) -> list[str]:
        """Build the command that runs Python inside."""
        paths = dict.fromkeys([sys.base_prefix, str(REPO), *site.getsitepackages()])
        present = (path for path in paths if not path.startswith("/usr") and Path(path).is_dir())
        mounted = " ".join(present)  # Debian names a folder that no venv has
        script = SANDBOX.format(user=USER, paths=mounted)
        return self.space.command(
            [
                *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
                *("sh", "-c", script, "sandbox"),
                *(str(self.root), str(self.state.root)),
                *("env", "-i", "HOME=/state", "TMPDIR=/state", "PYTHONDONTWRITEBYTECODE=1"),
                *(sys.executable, *arguments),
            ]
        )

    def program(self, role: str, *arguments: str) -> list[str]:
        """Build the command that runs a program inside, under its unit's limits."""
        unit = REPO / "deploy" / role / f"heliograph-{role}.service"
        module = ("-m", f"heliograph_{role}")
        return self.python(str(UNDER_UNIT), str(unit), sys.executable, *module, *arguments)

    def join(self, *tasks: PlannedTask) -> None:
        """Leave the state as `join` does, of a collector that does not exist."""
        signer = keys.SigningKey(self.state.private_key(create=True) or b"")
        collector = keys.SigningKey(b"w" * 32)
        certificate = make_certificate([]).decode()
        self.state.save_collector(
            Collector(
                endpoint="127.0.0.1:1", pin=b"p" * 32, signing_key=collector.public,
                certificate=certificate[certificate.index("-----BEGIN CERTIFICATE") :],
                sealing_key=keys.SealingKey(b"s" * 32).public, agent=keys.agent_id(signer.public),
            )
        )  # fmt: skip
        body = codec.plan_to_pb(plan_of(*tasks)).SerializeToString()
        signed = plan_pb2.SignedPlan(plan=body, signature=collector.sign(keys.PLAN, body))
        self.state.write(PLAN, signed.SerializeToString())
        given = consent.Consent(
            given_us=SystemClock().wall_us(), plan_version=1, scope=frozenset({consent.EVERYTHING})
        )
        self.state.write_json(CONSENT, given.to_json())
        for file in (self.state.root, *self.state.root.iterdir()):
            os.chown(file, USER, USER)


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    if missing := [program for program in NEEDED if shutil.which(program) is None]:
        pytest.skip(f"needs {', '.join(missing)}")
    with namespace() as space:
        yield Sandbox(tmp_path, space)


def test_sandbox_grants_no_file_and_no_capability(sandbox: Sandbox) -> None:
    os.chown(sandbox.state.root, USER, USER)
    done = subprocess.run(sandbox.python("-c", INSPECT), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    nothing = "0" * 16
    assert done.stdout.split() == [str(USER), "[]", nothing, nothing, "1"]


def test_agent_measures_in_sandbox_as_container_starts_it(sandbox: Sandbox, tmp_path: Path) -> None:
    """The agent measures in the sandbox, by the Dockerfile's CMD and a unit's limits."""
    sandbox.join(PlannedTask(experiment="tcp", target="127.0.0.1:9", interval_s=1))
    dockerfile = (REPO / "deploy" / "agent" / "Dockerfile").read_text()
    arguments = yaml.safe_load(dockerfile.partition("\nCMD ")[2].partition("\n")[0])
    log = tmp_path / "agent.log"
    with started(sandbox.program("agent", *arguments), log) as process:
        eventually(lambda: queued(sandbox.state) or process.poll() is not None, "a result", 30)
        assert process.poll() is None, log.read_text()
        (pid,) = user_processes(USER)
        fields = Path(f"/proc/{pid}/status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in fields if ":\t" in line)
        print(f"high water {status['VmHWM'].strip()}, {status['Threads']} threads")
        assert int(status["VmHWM"].split()[0]) < 128 * 1024
        assert int(status["Threads"]) < 64
        os.kill(pid, signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    assert "Traceback" not in log.read_text(), log.read_text()


def test_collector_serves_in_sandbox_as_its_unit_starts_it(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """The collector serves in its unit's sandbox, and its `doctor` finds no fault.

    The store's engine needs a folder for temporary files: unit and image give it a /tmp, as TMPDIR
    does here. The container's health check runs `doctor`.
    """
    os.chown(sandbox.state.root, USER, USER)
    sandbox.state.root.chmod(0o700)
    places = ("--data", "/state", "--config", str(REPO / "deploy/collector/collector.yml"))
    log = tmp_path / "collector.log"
    with started(sandbox.program("collector", "serve", *places), log) as process:
        doctor = sandbox.python("-m", "heliograph_collector", "doctor", *places)
        eventually(
            lambda: (
                subprocess.run(doctor, capture_output=True).returncode == 0
                or process.poll() is not None
            ),
            "a healthy collector",
            60,
        )
        assert process.poll() is None, log.read_text()
        assert stat.S_IMODE((sandbox.state.root / "fleet.db").stat().st_mode) == 0o600
        server, *_ = user_processes(USER)
        os.kill(server, signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    assert "Traceback" not in log.read_text(), log.read_text()


def queued(state: State) -> int:
    """Count the measurements that the agent has queued, by its status file."""
    with suppress(OSError, ValueError):
        return int(json.loads(state.path("status.json").read_text())["queued_measurements"])
    return 0


def user_processes(user: int) -> list[int]:
    """List the process numbers of a user, the oldest first, as seen outside.

    Numbers begin again after 32,768: a child's may be lower than its parent's.
    """
    began: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if folder.stat().st_uid == user:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                began[int(folder.name)] = int(fields[19])  # starttime: proc(5), field 22
    return sorted(began, key=lambda pid: (began[pid], pid))
