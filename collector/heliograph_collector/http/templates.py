"""The templates: one layout for all pages; all inserted values are escaped."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import ClassVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from heliograph_collector.http.i18n import Locale

_QUOTED = re.compile("`([^`]+)`")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageContent:
    """The content of one page: its template reads the fields, all of them and no others.

    `t` is the page's language, and `assets` maps a static file's name to its address.
    """

    template: ClassVar[str]
    t: Locale = field(default_factory=Locale)
    assets: Mapping[str, str]


def render_page(content: PageContent) -> str:
    values = {f.name: getattr(content, f.name) for f in fields(content)}
    return _environment().get_template(content.template).render(values)


@cache
def load_templates() -> None:
    """Compile all templates, so that no page's first reader waits (0.1 s of CPU)."""
    for name in _environment().list_templates(extensions=["html"]):
        _environment().get_template(name)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = render_code
    return environment


def render_code(markdown: str) -> Markup:
    """Render text between backticks as code, as in CommonMark."""
    return Markup(_QUOTED.sub(r"<code>\1</code>", str(escape(markdown))))  # noqa: S704 -- escaped
