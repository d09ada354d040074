"""Select pure tests: without programs, namespaces, browsers or a store engine.

`pytest --quick` runs them alone. A file is pure when neither it nor what it imports of the tests
names any of the means; a test that starts one by another way fails. Pure tests marked `long` are
left to CI, and run with `--long`.
"""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
MEANS = frozenset({
    "subprocess", "asyncio.subprocess", "multiprocessing", "pty", "playwright", "chdb",
    "heliograph_collector.store.store.Store",
})  # fmt: skip
# Where no import shows it: a call, or a shared fixture.
WORDS = re.compile(r"create_subprocess|os\.fork\(|\breader: browser_reader|mark\.lab\b")
LEFT_OUT = frozenset({"lab", "slow", "replay", "long", "real"})
STARTS = frozenset({"subprocess.Popen", "os.fork", "os.forkpty", "os.exec", "os.posix_spawn"})


@cache
def is_pure(file: Path) -> bool:
    if file.name == "__init__.py":
        return True
    return not any(_means(part) for part in _closure(file))


def refuse_the_rest() -> None:
    """Fail every test of this process that starts what is not pure, until it ends."""

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event in STARTS or (event == "import" and arguments[0] == "chdb"):
            pytest.fail(f"{event} {arguments[0]!r}: not pure, mark its file with pytest.mark.real")

    sys.addaudithook(watch)


def _closure(file: Path) -> set[Path]:
    """Return the file and every file of the tests that it imports, at once or later."""
    seen: set[Path] = set()
    rest = {file}
    while rest:
        part = rest.pop()
        seen.add(part)
        rest |= {found for name in _imports(part) for found in _files(name)} - seen
    return seen


@cache
def _means(file: Path) -> bool:
    names = _imports(file)
    packages = {name.partition(".")[0] for name in names}
    return bool(MEANS & (names | packages) or WORDS.search(file.read_text()))


@cache
def _imports(file: Path) -> frozenset[str]:
    return frozenset(_named(ast.parse(file.read_text())))


def _named(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files(name: str) -> Iterator[Path]:
    path = TESTS.joinpath(*name.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.exists():
            yield file
