"""Names that only a template uses: no type checker reads templates, so they are read here."""

from collections.abc import Iterator

from jinja2 import nodes

from heliograph_collector.console import formats
from heliograph_collector.console.templates import environment

FORMATS = "say"  # the name of the module of formats in the templates of the console


def list_formats_used() -> Iterator[tuple[str, str]]:
    """Yield each template of the console with each format that it calls."""
    jinja = environment()
    for name in jinja.list_templates(extensions=["html"]):
        assert jinja.loader is not None
        source, *_ = jinja.loader.get_source(jinja, name)
        for found in jinja.parse(source).find_all(nodes.Getattr):
            if isinstance(found.node, nodes.Name) and found.node.name == FORMATS:
                yield name, found.attr


def test_each_format_of_a_template_exists() -> None:
    used = set(list_formats_used())
    assert len(used) > 10
    assert [pair for pair in sorted(used) if not hasattr(formats, pair[1])] == []
