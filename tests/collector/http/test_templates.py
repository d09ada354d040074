"""A page hands its template what that reads, and nothing else."""

from collections.abc import Iterator
from dataclasses import fields

import pytest
from jinja2 import meta, nodes

from heliograph_collector.http import app, templates
from heliograph_collector.http.templates import PageContent

# What the frame and the headline read where it is given: not on a page without live parts, and no
# headline on an incident's, which has its line.
OPTIONAL = {"at", "entry", "outdated", "last_days", "headline"}
BUILD_APP = app.build_app  # whose module imports the contents of all pages
CONTENTS = {content.template: content for content in PageContent.__subclasses__()}


def iter_trees(name: str) -> Iterator[nodes.Template]:
    """Iterate over a template and all that it extends, includes or imports."""
    environment = templates._environment()
    assert environment.loader is not None
    tree = environment.parse(environment.loader.get_source(environment, name)[0])
    yield tree
    for part in meta.find_referenced_templates(tree):
        if part:
            yield from iter_trees(part)


def list_assigned(tree: nodes.Template) -> Iterator[str]:
    """List the names that a template gives to others: variables, macros and imports."""
    targets = [assign.target for assign in tree.find_all(nodes.Assign)]
    targets += [block.target for block in tree.find_all(nodes.AssignBlock)]
    yield from (target.name for target in targets if isinstance(target, nodes.Name))
    yield from (macro.name for macro in tree.find_all(nodes.Macro))
    for imported in tree.find_all(nodes.FromImport):
        yield from (name if isinstance(name, str) else name[1] for name in imported.names)


@pytest.mark.parametrize("template", sorted(CONTENTS))
def test_a_template_reads_the_fields_of_its_content(template: str) -> None:
    trees = list(iter_trees(template))
    read = set().union(*(meta.find_undeclared_variables(tree) for tree in trees))
    given = {field.name for field in fields(CONTENTS[template])}
    assigned = {name for tree in trees for name in list_assigned(tree)}
    assert given <= read | {"t"}  # macros have it from the template that imports them
    assert read - assigned - OPTIONAL <= given
