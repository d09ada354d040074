"""No HTTP client of ours decompresses answers: a small one could fill the memory."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Streams in which a size limit holds while they are decompressed.
BOUNDED = {
    "agent/heliograph_agent/net/http/content_coding.py",
    "collector/heliograph_collector/sources/ooni/http_facts.py",
}


def calls(name: str) -> Iterator[tuple[str, ast.Call]]:
    for folder in ("agent", "collector", "proto"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            text = file.read_text()
            for node in ast.walk(ast.parse(text)) if name in text else ():
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr == name
                ):
                    yield str(file.relative_to(ROOT)), node


def test_each_session_leaves_bodies_as_they_are() -> None:
    sessions = list(calls("ClientSession"))
    assert len(sessions) >= 3
    for file, call in sessions:
        options = {k.arg: ast.unparse(k.value) for k in call.keywords}
        assert options.get("auto_decompress") == "False", f"{file}, line {call.lineno}"
        assert "'Accept-Encoding': 'identity'" in options.get("headers", ""), file


def test_each_stream_that_is_decompressed_has_a_limit() -> None:
    """`decompressobj().decompress(data, LIMIT)`, and nowhere else."""
    assert {file for file, _ in calls("decompressobj")} == BOUNDED
    for file, call in calls("decompress"):
        if file in BOUNDED:
            assert len(call.args) == 2, f"{file}, line {call.lineno}"
