"""A page hands its template what that shows, and nothing else."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from jinja2 import meta

from heliograph_collector import http
from heliograph_collector.http import templates

BY_CONTEXT = {"t"}  # macros have it from the template that imports them


def list_renderings() -> Iterator[tuple[str, frozenset[str]]]:
    """List each template that is rendered, with the names of its values."""
    for module in Path(http.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "render_template":
                (name,) = (x.value for x in node.args if isinstance(x, ast.Constant))
                values = {k.arg for k in node.keywords if k.arg}
                assert len(values) == len(node.keywords), f"{module} unpacks a mapping"
                yield str(name), frozenset(values)


def list_variables(name: str) -> set[str]:
    """List the free variables of a template and of all that it extends, includes or imports."""
    environment = templates._environment()
    assert environment.loader is not None
    tree = environment.parse(environment.loader.get_source(environment, name)[0])
    parts = (part for part in meta.find_referenced_templates(tree) if part)
    return meta.find_undeclared_variables(tree).union(*map(list_variables, parts))


@pytest.mark.parametrize(("name", "values"), sorted(list_renderings(), key=str))
def test_each_value_is_shown(name: str, values: frozenset[str]) -> None:
    assert values - BY_CONTEXT <= list_variables(name)
