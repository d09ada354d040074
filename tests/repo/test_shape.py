"""The shape budgets of the code: small files, small functions, a first line that says what for."""

import ast
import statistics
from collections.abc import Iterator
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


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_every_file_fits_its_room() -> None:
    lines = {path: path.read_text().count("\n") for path in SOURCES + TESTS}
    long = [f"{named(path)}: {count} lines" for path, count in lines.items() if count > MAX_FILE]
    assert not long, "make each a package of the same name: " + "; ".join(long)


def test_every_function_fits_its_room_and_most_are_short() -> None:
    sizes = ((path, *each) for path in SOURCES + TESTS for each in functions(path))
    long = [f"{named(path)}: {name} ({n})" for path, name, n in sizes if n > MAX_FUNCTION]
    assert not long, f"functions over {MAX_FUNCTION} lines: " + "; ".join(long)
    ours = [size for path in SOURCES for _, size in functions(path)]
    assert statistics.median(ours) <= MEDIAN_FUNCTION


def test_every_source_says_what_it_is_for() -> None:
    silent = [named(path) for path in SOURCES if not (ast.get_docstring(tree(path)) or "").strip()]
    assert not silent, "first line: what for? " + ", ".join(silent)
    vague = [named(path) for path in SOURCES if path.stem in VAGUE]
    assert not vague, "name it after what it is, in the field's own words: " + ", ".join(vague)


def test_no_source_root_is_itself_a_package() -> None:
    sides = ("agent", "agent/raw", "collector", "proto")
    assert [side for side in sides if (ROOT / side / "__init__.py").exists()] == []
