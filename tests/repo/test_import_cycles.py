"""No import cycles, and few imports between packages, those in functions included."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def source_modules(source: str) -> dict[str, Path]:
    """Map each module below a source root to its file."""
    root = ROOT / source
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in root.rglob("*.py")
        if "_pb2" not in path.name and (source != "agent" or "raw" not in path.parts)
    }


SOURCES = ("agent", "agent/raw", "collector", "proto")
MODULES = {name: path for source in SOURCES for name, path in source_modules(source).items()}


def imported_modules(tree: ast.AST, modules: Mapping[str, Path]) -> Iterator[str]:
    """Yield the modules that a file imports, each submodule by its own name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in modules else node.module


def count_package_edges(side: str) -> int:
    """Count the ordered pairs of a distribution's packages of which one imports."""
    edges = set()
    for name, path in MODULES.items():
        root, _, rest = name.partition(".")
        if root == side and rest:
            package = rest.split(".")[0]
            for imported in imported_modules(ast.parse(path.read_text()), MODULES):
                other_root, _, other = imported.partition(".")
                if other_root == side and other and other.split(".")[0] != package:
                    edges.add((package, other.split(".")[0]))
    return len({edge for edge in edges if edge[0] != "__main__"})


def find_cycle(sources: Mapping[str, str]) -> list[str]:
    """Return one circle of modules, by their source text; empty where there is none."""
    names = {name: Path(name) for name in sources}
    graph = {
        name: {other for other in imported_modules(ast.parse(text), names) if other != name}
        for name, text in sources.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_source_files_import_each_other_in_no_circle() -> None:
    assert find_cycle({name: path.read_text() for name, path in MODULES.items()}) == []


@pytest.mark.parametrize(("side", "most"), [("heliograph_agent", 38), ("heliograph_collector", 45)])
def test_few_packages_import_each_other(side: str, most: int) -> None:
    assert count_package_edges(side) <= most


@pytest.mark.parametrize(
    ("sources", "has_cycle"),
    [
        ({"a": "import b", "b": ""}, False),
        ({"a": "import b", "b": "def f():\n    from a import x"}, True),
        ({"p": "from p import q", "p.q": "from p import r", "p.r": ""}, False),
        ({"p": "from p.q import x", "p.q": "from p import y"}, True),
    ],
    ids=["one way", "inside a function", "submodules", "through a package"],
)
def test_circle_is_recognised(sources: dict[str, str], has_cycle: bool) -> None:
    assert bool(find_cycle(sources)) is has_cycle
