"""What `make run` does: a collector, one agent of this machine, and the page, until Ctrl-C.

Everything lies in ./heliograph-data; a second run goes on with it, deleting it starts afresh.
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
from heliograph_collector.control.agent_process import tied

START_S, STOP_S, LOOK_S = 60.0, 5.0, 0.2
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
    """The text is a sentence that says what to do."""


def main() -> int:
    args = _arguments()
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
    config = args.config or _config(data)
    _say(HELLO.format(data=data))
    with ExitStack() as stack:
        options = ["--data", str(data), "--config", str(config)]
        ports = [x for name in ("grpc", "http") for x in _option(name, getattr(args, name))]
        serve = stack.enter_context(_program("heliograph_collector", "serve", *options, *ports))
        places = _places(data, serve, stop)
        if not stop.is_set():
            _join(data, options, places["grpc"], args.join)
            agent = stack.enter_context(_program("heliograph_agent", "run", *_state(data)))
            _until_ready(places["http"], serve, stop)
            if not stop.is_set():
                _say(READY.format(url=f"http://{places['http']}/"))
            _watch({"collector": serve, "agent": agent}, stop)
        _say("\nStopping.")
    return 0


def _arguments() -> argparse.Namespace:
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


def _config(data: Path) -> Path:
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = data / "make-run.yml"
    if not file.exists():
        file.write_text(CONFIG)
    return file


def _option(name: str, value: str | None) -> list[str]:
    return [f"--{name}", value] if value else []


def _state(data: Path) -> list[str]:
    return ["--state", str(data / "agent")]


@contextmanager
def _program(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A part in its own session, so that Ctrl-C reaches this program alone, which ends the parts in
    their order; on Linux it also ends with us when we are killed."""
    process = subprocess.Popen(  # noqa: S603 - our own programs
        tied("-m", *command),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _places(data: Path, serve: subprocess.Popen[bytes], stop: Event) -> dict[str, str]:
    """Where the collector listens, once it does."""
    for _ in range(int(START_S / LOOK_S)):
        if serve.poll() is not None:
            raise CannotRunError("the collector did not start; the line above says why.")
        try:
            found = json.loads((data / "serving.json").read_text())
        except (OSError, ValueError):
            found = {}
        if found.get("pid") == serve.pid and "http" in found:
            return {name: str(found[name]) for name in ("grpc", "http")}
        if stop.wait(LOOK_S):
            return {}
    raise CannotRunError(f"the collector was not up after {START_S:.0f} s; try again.")


def _join(data: Path, options: Sequence[str], endpoint: str, more: Sequence[str]) -> None:
    """Enrol this machine's agent, unless it is. What it will do is printed, not only agreed to."""
    joined = State(data / "agent").collector()
    if joined is not None and joined.endpoint == endpoint:
        _say(JOINED.format(state=data / "agent"))
        return
    if joined is not None:
        raise CannotRunError(
            f"{data / 'agent'} belongs to {joined.endpoint} and not to {endpoint}: delete it, or "
            "use the same port."
        )
    made = _command(["heliograph_collector", "invite", *options], subprocess.PIPE)
    command = ["heliograph_agent", "join", made.stdout.strip(), "--yes", *_state(data), *more]
    if made.returncode != 0 or _command(command, None).returncode != 0:
        raise CannotRunError("this machine's agent could not join; the lines above say why.")


def _command(command: Sequence[str], output: int | None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - our own programs
        [sys.executable, "-m", *command],
        stdout=output,
        text=True,
        check=False,
    )


def _until_ready(place: str, serve: subprocess.Popen[bytes], stop: Event) -> None:
    for _ in range(int(START_S / LOOK_S)):
        if serve.poll() is not None or stop.wait(LOOK_S) or _ready(place):
            return
    raise CannotRunError(f"the page did not come up within {START_S:.0f} s; see the lines above.")


def _ready(place: str) -> bool:
    connection = http.client.HTTPConnection(place, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _watch(parts: dict[str, subprocess.Popen[bytes]], stop: Event) -> None:
    """Until told to stop. Raises CannotRunError when a part ends by itself."""
    while not stop.wait(LOOK_S):
        for name, part in parts.items():
            if part.poll() is not None:
                raise CannotRunError(f"the {name} ended by itself; the lines above say why.")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
