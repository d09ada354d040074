"""Each page's template reads the fields of its view, all of them and nothing else."""

from dataclasses import fields

import pytest
from jinja2 import meta

from heliograph_collector.console import alerts, app, incidents, measurements
from heliograph_collector.console.templates import PageView, environment

PAGES = (app, alerts, incidents, measurements)  # which import the views of all pages
LAYOUT = "console.html"
# What the layout gives to every page.
LAYOUT_NAMES = frozenset({"session", "operator", "path", "places", "say", "assets"})
VIEWS = {view.template: view for view in PageView.__subclasses__()}


def test_each_template_has_a_view() -> None:
    assert set(environment().list_templates(extensions=["html"])) == {LAYOUT, *VIEWS}


@pytest.mark.parametrize("template", sorted(VIEWS))
def test_a_template_reads_the_fields_of_its_view(template: str) -> None:
    loader = environment().loader
    assert loader is not None
    source, _, _ = loader.get_source(environment(), template)
    names = meta.find_undeclared_variables(environment().parse(source))
    given = {field.name for field in fields(VIEWS[template])}
    macros = {word.partition("(")[0] for word in source.split("{% macro ")[1:]}
    assert names - macros - LAYOUT_NAMES == given
