"""Run a collector, one agent of this machine and the page for `make run`, until Ctrl-C.

All data is in ./heliograph-data; a second run continues with it, deleting it starts over.
"""

import argparse
import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event

from heliograph_agent.state import State
from heliograph_collector.control.agent_process import build_tied_command

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 5.0
POLL_S = 0.2
CONFIG = """\
# Made by `make run`: the page is this machine's owner's alone, so it may show a single vantage.
feed:
  k_anonymity: 1
"""

HELLO = """\
Heliograph, all of it on this machine:
  files       {data}/ (delete it to start afresh)
  a collector with its store, its page, and a control agent that measures the same targets
  one agent   that tests from here what this network lets through
This page shows a single vantage by itself (feed.k_anonymity: 1), because it is yours; a public
collector shows no group of fewer than 5.
"""
JOINED = (
    "The agent has joined before; `heliograph-agent plan --state {state}` shows what it runs.\n"
)
READY = """
Open  {url}   The first verdicts come within a minute or two.
Agent and control are on one machine, so verdicts compare this network with itself: what is cut
here shows as down, not as blocked. A control on a clean network tells the two apart:
`heliograph-collector invite --control`.
Ctrl-C stops all of it.
"""


class CannotRunError(Exception):
    """The program cannot run; the message is a sentence that says what to do."""


def main() -> int:
    args = _parse_arguments()
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        return _run(args, stop)
    except CannotRunError as error:
        sys.stderr.write(f"make run: {error}\n")
        return 1


def _run(args: argparse.Namespace, stop: Event) -> int:
    data = Path(args.data)
    config = args.config or _write_config(data)
    _print_text(HELLO.format(data=data))
    with ExitStack() as stack:
        options = ["--data", str(data), "--config", str(config)]
        ports = [x for name in ("grpc", "http") for x in _format_option(name, getattr(args, name))]
        serve = stack.enter_context(
            _start_program("heliograph_collector", "serve", *options, *ports)
        )
        addresses = _wait_until_serving(data, serve, stop)
        if not stop.is_set():
            _join(data, options, addresses["grpc"], args.join)
            agent = stack.enter_context(
                _start_program("heliograph_agent", "run", *_state_options(data))
            )
            _wait_until_ready(addresses["http"], serve, stop)
            if not stop.is_set():
                _print_text(READY.format(url=f"http://{addresses['http']}/"))
            _watch_programs({"collector": serve, "agent": agent}, stop)
        _print_text("\nStopping.")
    return 0


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make run", epilog="Example: .venv/bin/python deploy/run.py --http 127.0.0.1:8081"
    )
    parser.add_argument("--data", default="heliograph-data", metavar="DIR")
    parser.add_argument("--config", type=Path, metavar="FILE", help="instead of one made here")
    parser.add_argument("--grpc", metavar="HOST:PORT")
    parser.add_argument("--http", metavar="HOST:PORT")
    parser.add_argument(
        "--join", action="append", default=[], help="passed to heliograph-agent join"
    )
    return parser.parse_args()


def _write_config(data: Path) -> Path:
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = data / "make-run.yml"
    if not file.exists():
        file.write_text(CONFIG)
    return file


def _format_option(name: str, value: str | None) -> list[str]:
    return [f"--{name}", value] if value else []


def _state_options(data: Path) -> list[str]:
    return ["--state", str(data / "agent")]


@contextmanager
def _start_program(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program in its own session and stop it at the end of the block.

    Ctrl-C then reaches this script alone, which stops the programs in order. On Linux a program
    also ends when this script is killed.
    """
    process = subprocess.Popen(  # noqa: S603 - our own programs
        build_tied_command("-m", *command),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_serving(data: Path, serve: subprocess.Popen[bytes], stop: Event) -> dict[str, str]:
    """Return the collector's addresses once it listens."""
    for _ in range(int(START_TIMEOUT_S / POLL_S)):
        if serve.poll() is not None:
            raise CannotRunError("the collector did not start; the line above says why.")
        try:
            serving = json.loads((data / "serving.json").read_text())
        except (OSError, ValueError):
            serving = {}
        if serving.get("pid") == serve.pid and "http" in serving:
            return {name: str(serving[name]) for name in ("grpc", "http")}
        if stop.wait(POLL_S):
            return {}
    raise CannotRunError(f"the collector was not up after {START_TIMEOUT_S:.0f} s; try again.")


def _join(data: Path, options: Sequence[str], endpoint: str, join_options: Sequence[str]) -> None:
    """Enroll this machine's agent unless it is enrolled; `join` prints what it will do."""
    collector = State(data / "agent").collector()
    if collector is not None and collector.endpoint == endpoint:
        _print_text(JOINED.format(state=data / "agent"))
        return
    if collector is not None:
        raise CannotRunError(
            f"{data / 'agent'} belongs to {collector.endpoint} and not to {endpoint}: delete it, "
            "or use the same port."
        )
    invite = _run_command(["heliograph_collector", "invite", *options], subprocess.PIPE)
    command = [
        "heliograph_agent",
        "join",
        invite.stdout.strip(),
        "--yes",
        *_state_options(data),
        *join_options,
    ]
    if invite.returncode != 0 or _run_command(command, None).returncode != 0:
        raise CannotRunError("this machine's agent could not join; the lines above say why.")
    _vouch(options)


def _vouch(options: Sequence[str]) -> None:
    """Vouch for this machine's agent, which would have no vote for a day."""
    listed = _run_command(
        ["heliograph_collector", "agents", "list", "--json", *options], subprocess.PIPE
    )
    for agent in json.loads(listed.stdout or "[]"):
        if agent["role"] == "volunteer":
            command = ["heliograph_collector", "agents", "vouch", agent["id"], *options]
            _run_command(command, subprocess.DEVNULL)


def _run_command(command: Sequence[str], output: int | None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - our own programs
        [sys.executable, "-m", *command],
        stdout=output,
        text=True,
        check=False,
    )


def _wait_until_ready(address: str, serve: subprocess.Popen[bytes], stop: Event) -> None:
    for _ in range(int(START_TIMEOUT_S / POLL_S)):
        if serve.poll() is not None or stop.wait(POLL_S) or _is_ready(address):
            return
    raise CannotRunError(
        f"the page did not come up within {START_TIMEOUT_S:.0f} s; see the lines above."
    )


def _is_ready(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _watch_programs(programs: dict[str, subprocess.Popen[bytes]], stop: Event) -> None:
    """Wait for the stop event. Raises CannotRunError when a program ends by itself."""
    while not stop.wait(POLL_S):
        for name, program in programs.items():
            if program.poll() is not None:
                raise CannotRunError(f"the {name} ended by itself; the lines above say why.")


def _print_text(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
