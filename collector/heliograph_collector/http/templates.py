"""The templates: one layout for all pages; all inserted values are escaped."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import ClassVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from heliograph_collector.http.compiled_templates import CompiledTemplates
from heliograph_collector.http.i18n import Locale

_QUOTED = re.compile("`([^`]+)`")


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateValues:
    """What one template reads: the fields, all of them and no others."""

    template: ClassVar[str]

    def render(self, environment: Environment, frame: Mapping[str, object] | None = None) -> str:
        """Render the template; `frame` has what its layout reads."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return environment.get_template(self.template).render({**(frame or {}), **values})


@dataclass(frozen=True, slots=True, kw_only=True)
class PageContent(TemplateValues):
    """The content of one page.

    `t` is the page's language, and `assets` maps a static file's name to its address.
    """

    t: Locale = field(default_factory=Locale)
    assets: Mapping[str, str]


def render_page(content: PageContent) -> str:
    return content.render(_environment())


@cache
def load_templates() -> None:
    """Load all templates, so that no page's first reader waits (0.1 s of CPU to compile them)."""
    for name in _environment().list_templates(extensions=["html"]):
        _environment().get_template(name)


@cache
def _environment() -> Environment:
    environment = build_environment(__package__)
    environment.filters["code"] = render_code
    return environment


def build_environment(package: str) -> Environment:
    """Build the environment of a package's folder of templates."""
    templates = Path(str(files(package).joinpath("templates")))
    settings = files(__package__).joinpath("templates.py").read_bytes()
    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=CompiledTemplates(templates, settings),
    )


def render_code(markdown: str) -> Markup:
    """Render text between backticks as code, as in CommonMark."""
    return Markup(_QUOTED.sub(r"<code>\1</code>", str(escape(markdown))))  # noqa: S704 -- escaped
