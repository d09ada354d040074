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
    from heliograph_collector.evaluate import importers
    from heliograph_collector.evaluate.document import ScenarioError

    if len(paths) != 1 or args.seeds is not None:
        raise CommandError(
            "A real event is looked at alone and has no seeds: give its one file or folder."
        )
    said = importers.Complaints()
    try:
        made = importers.load(paths[0], args.entity)
        if args.truth:
            every = importers.truths(args.truth.expanduser(), said)
            made = replace(made, replay=importers.held(made.replay, every))
    except (importers.ImportRefusedError, ScenarioError) as error:
        raise CommandError(str(error)) from error
    left_out = (*made.complaints, *said.all())
    for sentence in left_out:
        print(_plain(f"heliograph-collector: {sentence}"), file=sys.stderr)
    found = importers.account(made)
    print(json.dumps(importers.document(found)) if args.json else _lines(importers.text(found)))
    return 1 if left_out else 0


def _lines(said: str) -> str:
    return "\n".join(_plain(line) for line in said.splitlines())


def _plain(said: str) -> str:
    """One line that no file can use to steer the terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in said)
