"""`heliograph-collector evaluate EVENT`: a real event, as others published it, and what is told."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from heliograph_collector.cli import CommandError


def told(paths: Sequence[Path], args: argparse.Namespace) -> int:
    """Exit code 1 where something was left out; each gets its line on stderr."""
    from heliograph_lab.evaluate import event
    from heliograph_lab.evaluate.document import ScenarioError

    if len(paths) != 1 or args.seeds is not None:
        raise CommandError(
            "A real event is looked at alone and has no seeds: give its one file or folder."
        )
    said = event.Complaints()
    try:
        made = event.load(paths[0], args.entity)
        if args.truth:
            every = event.truths(args.truth.expanduser(), said)
            made = replace(made, replay=event.held(made.replay, every))
    except (event.ImportRefusedError, ScenarioError) as error:
        raise CommandError(str(error)) from error
    left_out = (*made.complaints, *said.all())
    for sentence in left_out:
        print(_plain(f"heliograph-collector: {sentence}"), file=sys.stderr)
    found = event.account(made)
    print(json.dumps(event.document(found)) if args.json else _lines(event.text(found)))
    return 1 if left_out else 0


def _lines(said: str) -> str:
    return "\n".join(_plain(line) for line in said.splitlines())


def _plain(said: str) -> str:
    """One line that no file can use to steer the terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in said)
