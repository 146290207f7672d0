"""A digest as HTML that mail programs show: tables and background colours, all styles in place, nothing remote.

Every value passes through the autoescape of the template, which has no `safe` in it.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

if TYPE_CHECKING:
    from jinja2 import Template

    from reports.digest.page import Page

_CODE: Final = re.compile(r"`([^`]+)`")


def as_html(page: Page) -> str:
    """A whole document."""
    return _template().render(page=page)


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("reports.digest", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["commands"] = _commands
    return environment.get_template("digest.html.j2")


def _commands(text: str) -> Markup:
    """The text with what stands between backticks as code; all of it is escaped."""
    shown = Markup('<code class="code" style="font-family:Consolas,Menlo,monospace;font-size:12px">{}</code>')
    parts = _CODE.split(text)
    return Markup("").join(shown.format(part) if number % 2 else escape(part) for number, part in enumerate(parts))
