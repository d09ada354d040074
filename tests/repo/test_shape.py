"""The shape budgets of the code: small files, small functions, a first line that says what for."""

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

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


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_fits_its_room(path: Path) -> None:
    lines = path.read_text().count("\n")
    assert lines <= MAX_FILE, f"{lines} lines: make it a package of the same name"
    long = [f"{name} ({size})" for name, size in functions(path) if size > MAX_FUNCTION]
    assert not long, f"functions over {MAX_FUNCTION} lines: {', '.join(long)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_says_what_it_is_for(path: Path) -> None:
    assert (ast.get_docstring(ast.parse(path.read_text())) or "").strip(), "first line: what for?"
    assert path.stem not in VAGUE, "name it after what it is, in the field's own words"


def test_functions_are_short_on_the_whole() -> None:
    sizes = [size for path in SOURCES for _, size in functions(path)]
    assert statistics.median(sizes) <= MEDIAN_FUNCTION


@pytest.mark.parametrize("side", ["agent", "agent/raw", "collector", "proto"])
def test_a_source_root_is_not_itself_a_package(side: str) -> None:
    assert not (ROOT / side / "__init__.py").exists()
