"""A bootstrap by a scripted tor, and by Debian's tor without a network."""

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from heliograph.failure import Failure, Operation
from heliograph.observation import Exchange, Observation
from heliograph_agent.net.system_net import SystemNet
from heliograph_agent.net.tor import _bridge_config
from support.net_fixtures import Opening
from support.netns import namespace
from support.requirements import require
from support.values import present
from support.waiting import until_true

Installing = Callable[..., Path]
BRIDGE = "192.0.2.7:443 0123456789ABCDEF0123456789ABCDEF01234567"
OBFS4 = f"obfs4 {BRIDGE} cert=c2VjcmV0 iat-mode=0"


@pytest.fixture
def rest() -> Iterator[Path]:
    """Yield a folder with a short name, as it has sockets."""
    with tempfile.TemporaryDirectory(prefix="t") as folder:
        yield Path(folder)


@pytest.fixture
def installed(tmp_path: Path, rest: Path, monkeypatch: pytest.MonkeyPatch) -> Installing:
    """Install a scripted tor in a private PATH; return its working folder."""
    home = tmp_path / "bin"
    home.mkdir()
    monkeypatch.setenv("PATH", str(home))
    monkeypatch.setattr(tempfile, "tempdir", str(rest))

    def install(*lines: str, name: str = "tor") -> Path:
        program = home / name
        program.write_text("\n".join((f"#!{sys.executable}", "import sys, time", *lines)))
        program.chmod(0o755)
        return rest

    return install


def says(*progress: int) -> list[str]:
    return [
        f"print('Nov 25 02:00:00.000 [notice] Bootstrapped {done}% (stage): At it', flush=True)"
        for done in progress
    ]


STAYS = "time.sleep(600)"


async def step(net: SystemNet, *bridges: str) -> Observation:
    seen = (await net.tor(bridges, endpoint="tor")).observation
    assert (seen.operation, seen.endpoint) == (Operation.EXCHANGE, "tor")
    return seen


async def test_a_bootstrap_to_its_end_leaves_nothing(
    opening: Opening, installed: Installing
) -> None:
    rest = installed("print('Opening Socks listener')", *says(0, 45, 100), STAYS)
    seen = await step(opening()[0])
    assert seen.failure is None
    assert seen.exchange == Exchange(protocol="tor_bootstrap", reply="progress_100")
    assert list(rest.iterdir()) == []


@pytest.mark.parametrize(("progress", "reply"), [((0, 10), "progress_10"), ((), "")])
async def test_one_that_gets_no_further_ends_at_the_deadline(
    opening: Opening, installed: Installing, progress: tuple[int, ...], reply: str
) -> None:
    rest = installed(*says(*progress), STAYS)
    seen = await step(opening(tor_s=1)[0])
    assert seen.failure is Failure.GENERIC_TIMEOUT_ERROR
    assert seen.exchange == Exchange(protocol="tor_bootstrap", reply=reply)
    assert list(rest.iterdir()) == []


@pytest.mark.parametrize("begins", [False, True], ids=["at work", "as it begins"])
async def test_cancelled_it_is_killed_with_all_it_started(
    opening: Opening,
    installed: Installing,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    begins: bool,
) -> None:
    """A cancelled tor is killed with all its children.

    Also where the loop has not yet noticed that it runs, as on a busy machine.
    """
    told = tmp_path / "told"
    rest = installed(
        "import os",
        "child = os.fork()",  # as a pluggable transport would be
        f"if child: open({str(told)!r}, 'w').write(f'{{os.getpid()}} {{child}}.')",
        STAYS,
    )
    is_started = asyncio.Event()
    start = asyncio.create_subprocess_exec

    async def start_slowly(*args: Any, **options: Any) -> asyncio.subprocess.Process:
        process = await start(*args, **options)
        await is_started.wait()
        return process

    if begins:
        monkeypatch.setattr(asyncio, "create_subprocess_exec", start_slowly)
    net, trace = opening()
    task = asyncio.ensure_future(net.tor())
    async with asyncio.timeout(60):
        while not (told.exists() and told.read_text().endswith(".")):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    asyncio.get_running_loop().call_later(0.05, is_started.set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert trace.observations[0].failure is Failure.INTERRUPTED
    assert list(rest.iterdir()) == []
    pids = [int(pid) for pid in told.read_text().rstrip(".").split()]
    await until_true(lambda: not any(map(alive, pids)))  # a killed one runs once more, to end


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"  # killed, and only not yet waited for


async def test_what_it_moved_is_counted(opening: Opening, installed: Installing) -> None:
    installed(
        "import os, socket", "control = socket.socket(socket.AF_UNIX)",
        "control.bind(os.path.dirname(sys.argv[2]) + '/control')", "control.listen()", *says(100),
        "one = control.accept()[0]", "one.recv(999)",
        r"one.sendall(b'250 OK\r\n250-traffic/read=1000\r\n250-traffic/written=234\r\n')",
        r"one.sendall(b'250 OK\r\n250 closing connection\r\n')", STAYS,
    )  # fmt: skip
    net, trace = opening()
    await step(net)
    assert trace.bytes_moved == 1_234


async def test_one_that_ends_by_itself_is_no_observation(
    opening: Opening, installed: Installing
) -> None:
    installed(*says(10), "sys.exit(1)")
    net, trace = opening()
    with pytest.raises(ValueError, match="ended by itself"):
        await net.tor()
    assert not trace.observations


async def test_without_tor_the_cure_is_named(
    opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ValueError, match="install the package tor"):
        await opening()[0].tor()


async def test_bridges_are_written_where_nobody_else_looks(
    opening: Opening, installed: Installing, tmp_path: Path
) -> None:
    shown = tmp_path / "shown"
    installed("", name="obfs4proxy")
    installed(
        "import os, shutil", f"shutil.copy(sys.argv[2], {str(shown)!r})",
        "mode = os.stat(os.path.dirname(sys.argv[2])).st_mode",
        f"open({str(shown)!r}, 'a').write(f'# {{mode:o}}')", *says(100),
    )  # fmt: skip
    await step(opening()[0], OBFS4, f"Bridge {BRIDGE}")
    torrc = shown.read_text().splitlines()
    assert {"UseBridges 1", f"Bridge {OBFS4}", f"Bridge {BRIDGE}", "ClientOnly 1"} <= set(torrc)
    (plugin,) = [line for line in torrc if line.startswith("ClientTransportPlugin")]
    assert plugin.endswith(f"exec {tmp_path}/bin/obfs4proxy")
    assert torrc[-1] == "# 40700"


@pytest.mark.parametrize(
    ("bridge", "sentence"),
    [
        ("", "Bridge 1 is no bridge line"),
        (f"{BRIDGE}\nSocksPort 9050", ""),
        (f'{BRIDGE} "', "Bridge 1 is no bridge line"),
        ("x" * 2000, "Bridge 1 is no bridge line"),
        ("www.example.test:443", "neither an address nor a transport"),
        (OBFS4, "install lyrebird or obfs4proxy"),
        (f"pigeon {BRIDGE}", "speaks the bridge's transport pigeon."),
    ],
)
def test_a_bridge_that_cannot_be_used_is_not_quoted(
    installed: Installing, bridge: str, sentence: str
) -> None:
    installed("")
    if not sentence:  # a second line would be another setting
        assert len("\n".join(_bridge_config((bridge,))).splitlines()) == 2
        return
    with pytest.raises(ValueError, match=sentence) as raised:
        _bridge_config((bridge,))
    assert "192.0.2.7" not in str(raised.value)


@pytest.mark.lab
async def test_the_real_one_gets_nowhere_where_there_is_no_way_out(
    opening: Opening, installed: Installing, tmp_path: Path
) -> None:
    real = shutil.which("tor", path="/usr/sbin:/usr/bin:/sbin:/bin")
    require(real, "needs the package tor")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        with namespace() as nowhere:
            inside = nowhere.command([str(real)])
            rest = installed(
                "import os", f"os.execv({shutil.which('ip')!r}, {inside} + sys.argv[1:])"
            )
            patched.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
            seen = await step(opening(tor_s=5)[0])
    assert seen.failure is Failure.GENERIC_TIMEOUT_ERROR
    assert present(seen.exchange).reply in ("progress_0", "progress_5")
    assert list(rest.iterdir()) == []
