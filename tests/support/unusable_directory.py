"""Run every command of both programs in a read-only directory and on a full disk.

`python -m support.unusable_directory DIRECTORY`, where it may mount: prints in JSON what each
command answered, by kind of directory.
"""

import contextlib
import io
import json
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from heliograph_agent import cli as agent_cli
from heliograph_collector import cli as collector_cli
from support import local_targets
from support.loopback_plan import prepare
from support.ports import free_port
from support.small_disk import fill_up, mount

Main = Callable[[Sequence[str]], int]
CODE = ["72359", "00003", "47829", "91468", "50158", "97012"]


def call(main: Main, words: Sequence[str]) -> dict[str, object]:
    """Run a command in this process; a traceback is an answer too."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as error:
            code = int(error.code or 0)
        except Exception:  # noqa: BLE001 what a command raised is the answer
            return {"code": "raised", "err": traceback.format_exc()}
    return {"code": code, "err": err.getvalue(), "out": out.getvalue()}


def fill(folder: Path) -> None:
    """Make a data directory, and an agent's that joined it by file."""
    prepare(folder, free_port())
    state = local_targets.allow(folder / "agent")
    at = ["--data", str(folder / "data")]
    invite = str(call(collector_cli.main, ["invite", "--endpoint", "c.example:7443", *at])["out"])
    request = str(folder / "request")
    here = ["--state", str(state)]
    for main, words in (
        (agent_cli.main, ["join", invite.strip(), "--request", request, *here]),
        (collector_cli.main, ["enrol", request, *at]),
        (agent_cli.main, ["join", "--response", f"{request}.response", "--yes", *here]),
        (agent_cli.main, ["export", str(folder / "bundle"), *here]),  # makes the spool
    ):
        answer = call(main, words)
        assert answer["code"] == 0, answer
    (folder / "invite").write_text(invite)


def walk(folder: Path, *more: list[str]) -> dict[str, dict[str, object]]:
    """Return the answer of each command that needs its directory, and of `more`."""
    request, invite = str(folder / "request"), (folder / "invite").read_text().strip()
    plan = folder / "plan.yml"
    aside = folder.parent / "aside"
    aside.mkdir(exist_ok=True)
    collector = [
        ["serve"], ["doctor"], ["invite"], ["operator", "totp", "operator"],
        ["enrol", request, "--response", str(aside / "answer")],
        ["agents", "list"], ["agents", "revoke", "abcd"], ["agents", "clear", "abcd"],
        ["agents", "vouch", "abcd"], ["plan", "show"], ["plan", "set", str(plan)], ["keys", "show"],
        ["keys", "rotate"], ["keys", "renew"], ["keys", "retire"],
        ["import", "bundle", str(folder / "bundle")], ["import", "code", *CODE],
    ]  # fmt: skip
    agent = [
        ["join", invite, "--yes"], ["join", invite, "--request", str(aside / "request")],
        ["plan", "--agree"], ["status"], ["status", "--json"], ["pause"],
        ["export", str(aside / "bundle")], ["relay", "127.0.0.1:8443"], *more,
    ]  # fmt: skip
    answers = {}
    for main, commands, place in (
        (collector_cli.main, collector, ["--data", str(folder / "data")]),
        (agent_cli.main, agent, ["--state", str(folder / "agent")]),
    ):
        for words in commands:
            name = f"{main.__module__.split('.')[0]} {' '.join(words)}"
            answers[name] = call(main, [*words, *place])
    return answers


def run(folder: Path) -> dict[str, dict[str, dict[str, object]]]:
    full = folder / "full"
    full.mkdir()
    assert mount("4m", full)
    fill(full)
    read_only = folder / "read-only"
    shutil.copytree(full, read_only)
    for name in ("data", "agent"):
        path = str(read_only / name)
        subprocess.run(["mount", "--bind", path, path], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", path], check=True)
    fill_up(full / "other-files")
    # On a full disk an agent runs and waits for room; and it can leave.
    return {
        "full": walk(full),
        "read-only": walk(read_only, ["run"], ["leave"], ["leave", "--erase"]),
    }


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]))))
