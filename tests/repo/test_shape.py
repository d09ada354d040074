"""Limits for the code's shape: small files, small functions, a first line each."""

import ast
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = [
    path
    for side in ("agent", "collector", "proto", "deploy")
    for path in sorted((ROOT / side).rglob("*.py"))
    if not path.stem.endswith(("_pb2", "_pb2_grpc"))
]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc", "core"}
MAX_FILE = 400
MAX_FUNCTION = 60
MEDIAN_FUNCTION = 10


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@dataclass(frozen=True, slots=True)
class Shape:
    """The facts of a file; keeping its tree would slow each search for garbage."""

    docstring: str
    functions: tuple[tuple[str, int], ...]  # name and lines


@cache
def shape(path: Path) -> Shape:
    tree = ast.parse(path.read_text())
    return Shape(ast.get_docstring(tree) or "", tuple(functions(tree)))


def functions(node: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield functions by statements alone: no function stands in an expression."""
    for part in ast.iter_child_nodes(node):
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
            yield part.name, (part.end_lineno or part.lineno) - part.lineno + 1
        if isinstance(part, ast.stmt | ast.excepthandler | ast.match_case):
            yield from functions(part)


def test_every_file_fits_its_room() -> None:
    lines = {path: path.read_text().count("\n") for path in SOURCES + TESTS}
    long = [f"{named(path)}: {count} lines" for path, count in lines.items() if count > MAX_FILE]
    assert not long, "make each a package of the same name: " + "; ".join(long)


def test_every_function_fits_its_room_and_most_are_short() -> None:
    sizes = ((path, *each) for path in SOURCES + TESTS for each in shape(path).functions)
    long = [f"{named(path)}: {name} ({n})" for path, name, n in sizes if n > MAX_FUNCTION]
    assert not long, f"functions over {MAX_FUNCTION} lines: " + "; ".join(long)
    ours = [size for path in SOURCES for _, size in shape(path).functions]
    assert statistics.median(ours) <= MEDIAN_FUNCTION


def test_every_source_says_what_it_is_for() -> None:
    silent = [named(path) for path in SOURCES if not shape(path).docstring.strip()]
    assert not silent, "first line: what for? " + ", ".join(silent)
    vague = [named(path) for path in SOURCES if path.stem in VAGUE]
    assert not vague, "name it after what it is, in the field's own words: " + ", ".join(vague)


def test_no_source_root_is_itself_a_package() -> None:
    sides = ("agent", "agent/raw", "collector", "proto")
    assert [side for side in sides if (ROOT / side / "__init__.py").exists()] == []
