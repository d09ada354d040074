"""`make lab` and `make drill`: the country for a person to play with, or to watch.

python -m lab.country lab    [--port 8088]
python -m lab.country drill  [SCRIPT.yml]
"""

import argparse
import contextlib
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab.country import drill, prompt, window
from lab.country.country import Country, country
from lab.country.scenario import script
from lab.country.world import Missing

OTHER_PORT = "PYTHONPATH=tests .venv/bin/python -m lab.country lab --port 8089"
SCRIPTS = Path(__file__).parents[1] / "scenarios"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.country")
    parser.add_argument("what", choices=["lab", "drill"])
    parser.add_argument("script", nargs="?", type=Path, default=SCRIPTS / "kazakhstan-2022.yml")
    parser.add_argument("--port", type=int, default=8088)
    args = parser.parse_args(arguments)
    try:
        listening = socket.create_server(("127.0.0.1", args.port))
    except OSError as error:
        say(f"Port {args.port}: {os.strerror(error.errno or 0)}. Another: {OTHER_PORT}")
        return 1
    try:
        with (
            listening,
            tempfile.TemporaryDirectory(prefix="heliograph-lab-") as folder,
            _peopled(Path(folder)) as made,
            window.opened(made.world, listening) as origin,
        ):
            say(f"the page: {origin}/")
            say(f"the console: {origin}/console, as operator; password in {made.password_file}")
            return _lab(made) if args.what == "lab" else _drill(made, args)
    except Missing as reason:
        say(str(reason))
        return 1
    except KeyboardInterrupt:
        return 130


def say(text: str) -> None:
    stamp = time.strftime("%H:%M:%S")
    print("\n".join(f"{stamp}  {line}" for line in text.splitlines()), flush=True)


@contextmanager
def _peopled(folder: Path) -> Iterator[Country]:
    with country(folder) as made:
        say("wired, sites up")
        made.collect(drill.PLAN)
        say("collector and control up")
        made.populate()
        say(f"{len(made.agents) - 1} agents on {len(made.topology.networks)} networks up")
        yield made


def _lab(made: Country) -> int:
    say(prompt.obey(made, "show"))
    say("try: block telegram on kcell")
    with contextlib.suppress(EOFError):
        while (line := input("lab> ").strip()) not in ("quit", "exit"):
            try:
                say(prompt.obey(made, line))
            except prompt.Usage as advice:
                say(str(advice))
    return 0


def _drill(made: Country, args: argparse.Namespace) -> int:
    played = drill.play(made, script(args.script, made.topology), say)
    looks = drill.looked(played, drill.incidents(made))
    print("\n".join([*drill.table(played), *map(str, looks)]))
    missed = drill.wrong(played)
    say(f"{len(missed)} of {len(list(drill.table(played))) - 1} lines not as true")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
