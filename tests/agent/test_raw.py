"""The raw packet helper: results on a path, refusals, and errors."""

import asyncio
import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from heliograph_agent.net.traceroute.raw_helper import COMMAND, RawUnavailable, start_raw_helper
from support.routers import SERVER, Routers, routers

PORT = 443
REQUEST = {"id": 7, "op": "ttl_syn", "address": SERVER, "port": PORT, "ttl": 3, "timeout_s": 0.2}


@pytest.fixture(scope="module")
def path() -> Iterator[Routers]:
    with routers() as made:
        yield made


def helper(lines: bytes, command: Sequence[str] = COMMAND) -> list[dict[str, object]]:
    """Return all answers of the helper to `lines`."""
    done = subprocess.run(command, input=lines, capture_output=True, timeout=60, check=False)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.lab
def test_what_is_no_request_is_answered_and_the_next_one_heard(path: Routers) -> None:
    bad = [
        b"hello",
        b"[" * 2000,
        b"3",
        *(
            json.dumps(REQUEST | change).encode()
            for change in (
                {"id": "x"},
                {"op": "flood"},
                {"address": "2001:db8::g"},
                {"address": "www.example.test"},
                {"port": 0},
                {"port": True},
                {"ttl": 256},
                {"timeout_s": 11},
                {"timeout_s": "soon"},
                {"op": "ttl_stream"},
                {"op": "ttl_datagram", "payload": "0g"},
                {"op": "ttl_datagram", "payload": "00" * 3001},
            )
        ),
    ]
    lines = b"\n".join([*bad, json.dumps(REQUEST | {"port": 446, "ttl": 9}).encode()]) + b"\n"
    ready, *replies, last = helper(lines, path.client.command(COMMAND))
    assert ready == {"ready": True}
    assert [reply["id"] for reply in replies] == [0, 0, 0, 0] + [7] * 11
    assert all("error" in reply for reply in replies)
    assert last["kind"] == "rst"


@pytest.mark.lab
def test_a_line_too_long_ends_the_talk(path: Routers) -> None:
    _, reply = helper(b" " * 10_000 + b"\n", path.client.command(COMMAND))
    assert reply == {"id": 0, "error": "not a JSON object of at most 8192 bytes"}


async def test_without_scapy_the_cure_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scapy").mkdir()
    (tmp_path / "scapy" / "__init__.py").write_text("raise ImportError('not here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RawUnavailable, match="pip install scapy"):
        async with start_raw_helper():
            pass


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root has it to give up"
)
async def test_without_the_capability_the_cure_is_named() -> None:
    unprivileged = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", *COMMAND]
    with pytest.raises(RawUnavailable, match="CAP_NET_RAW"):
        async with start_raw_helper(unprivileged):
            pass


@pytest.mark.parametrize(
    "says",
    [
        "", "hello", "[]", '{"ready": 1}', "x" * 100_000, '{"ready": true}\\n',
        '{"ready": true}\\n{"id": 2}', '{"ready": true}\\n{"id": 1, "kind": "pigeon"}',
    ],
    ids=range(8),
)  # fmt: skip
async def test_a_helper_that_talks_nonsense_is_given_up(says: str) -> None:
    script = f"import sys; sys.stdout.write('{says}\\n'); sys.stdout.flush(); sys.stdin.read()"
    with pytest.raises(RawUnavailable):
        async with start_raw_helper([sys.executable, "-c", script]) as helper:
            await helper.ask("ttl_syn", "192.0.2.1", 1, ttl=1, timeout_s=0.01)


async def test_an_answer_that_nobody_waits_for_any_more_is_passed_over() -> None:
    script = """
import json, sys
print('{"ready": true}', flush=True)
sys.stdin.readline()  # answered when the next one is there
sys.stdin.readline()
for number, kind in ((1, "rst"), (2, "synack")):
    print(json.dumps({"id": number, "kind": kind, "source": "192.0.2.1", "ttl": 9, "ipid": 7,
                      "head": ""}), flush=True)
sys.stdin.read()
"""
    async with start_raw_helper([sys.executable, "-c", script]) as helper:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await helper.ask("ttl_syn", "192.0.2.1", 1, ttl=1, timeout_s=9)
        reply = await helper.ask("ttl_syn", "192.0.2.1", 1, ttl=1, timeout_s=9)
    assert reply.kind == "synack"


@pytest.mark.lab
async def test_what_the_system_refuses_has_its_number(path: Routers) -> None:
    """The client knows no way there."""
    async with start_raw_helper(path.client.command(COMMAND)) as helper:
        path.client.run("ip", "route", "add", "unreachable", "198.51.101.0/24")
        for op in ("ttl_syn", "ttl_stream", "ttl_datagram"):
            with pytest.raises(OSError, match="refused") as raised:
                await helper.ask(op, "198.51.101.9", 1, ttl=1, timeout_s=1, payload=b"x")
            assert raised.value.errno == errno.EHOSTUNREACH
