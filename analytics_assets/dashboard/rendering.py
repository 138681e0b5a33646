"""Pages as HTML: the templates and what all of them need.

Belongs here: filling templates.
Does not belong here: what is on a page.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analytics_assets.api.errors import Problem
from analytics_assets.api.meta import Health
from analytics_assets.core.declaration import Table
from analytics_assets.dashboard import figures
from analytics_assets.dashboard.composed import Composed
from analytics_assets.dashboard.declared import Page
from analytics_assets.dashboard.looks import Looks
from analytics_assets.dashboard.site import Site
from analytics_assets.dashboard.table_page import Shown
from analytics_assets.dashboard.words import (
    Language,
    humanized,
    moment,
    number,
    unit_text,
    word,
)

_HERE = Path(__file__).parent


class Pages:
    """The templates over a site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["figure"] = _figure
        self._templates.globals.update(spark=figures.spark, humanized=humanized)
        self._version = _version()

    def home(self, language: Language, health: Health) -> HTMLResponse:
        """All composed pages and all tables."""
        states = {table.name: table for table in health.tables}
        groups: dict[str, list[tuple[str, Table, Any]]] = {}
        for name in sorted(self._site.looks):
            table = self._site.looks[name].table
            groups.setdefault(table.domain, []).append((name, table, states[name]))
        about = {name: own.about.to(language) for name, (_, own) in self._site.pages.items()}
        return self._page(
            "home.html", language, "", "", title="", groups=groups, health=health, about=about
        )

    def composed(
        self, domain: str, page: Page, found: Composed, health: Health, language: Language
    ) -> HTMLResponse:
        """A composed page."""
        here = f"pages/{page.name}"
        return self._page(
            "composed.html",
            language,
            here,
            "",
            title=page.title.to(language),
            about=page.about.to(language),
            found=found,
            domain=domain,
            health=health,
            address=_address(here, found.chosen, language),
            other=_address(here, found.chosen, _other(language)),
        )

    def table(
        self, name: str, looks: Looks, shown: Shown, health: Health, language: Language
    ) -> HTMLResponse:
        """The page of a table."""
        here = f"tables/{name}"
        chosen = shown.chosen
        return self._page(
            "table.html",
            language,
            "",
            name,
            title=humanized(looks.table.published_name),
            name=name,
            looks=looks,
            shown=shown,
            state=health.tables[0],
            health=health,
            version=chosen.extent.version.partition("-")[0],
            address=chosen.address(here, lang=language),
            csv=chosen.address(f"{here}.csv", lang=language),
            other=chosen.address(here, lang=_other(language)),
            here=here,
        )

    def error(self, problem: Problem, path: str, language: Language) -> HTMLResponse:
        """A page that says what is wrong; one that may pass is loaded again."""
        root = "../" * (path.count("/") - 1)
        passes = problem.status == 503
        answer = self._page(
            "error.html",
            language,
            "",
            "",
            title=str(problem.status),
            problem=problem,
            passes=passes,
            root=root,
        )
        answer.status_code = problem.status
        answer.headers.update(problem.headers or {})
        return answer

    def _page(
        self, template: str, language: Language, page: str, table: str, **values: Any
    ) -> HTMLResponse:
        pages = [
            (f"pages/{name}", own.title.to(language), f"pages/{name}" == page)
            for name, (_, own) in sorted(self._site.pages.items())
        ]
        text = self._templates.get_template(template).render(
            language=language,
            root=values.pop("root", "../" * bool(page or table)),
            word=lambda name, **more: word(name, language, **more),
            number=lambda value: number(value, language),
            unit=lambda text: unit_text(text, language),
            moment=lambda value: moment(value, language),
            pages=pages,
            version=values.pop("version", ""),
            assets=f"assets/{self._version}",
            other_language=_other(language),
            **{"other": f"?lang={_other(language)}", **values},
        )
        return HTMLResponse(text, headers={"Cache-Control": "no-cache"})


def _other(language: Language) -> Language:
    return "en" if language == "pt" else "pt"


def _address(path: str, chosen: Mapping[str, str], language: Language) -> str:
    return f"{path}?{urlencode({**chosen, 'lang': language})}"


def _figure(figure: Mapping[str, Any]) -> Markup:
    """A figure as JSON that stands in HTML: nothing in it ends the element."""
    text = json.dumps(figure, separators=(",", ":"), allow_nan=False, default=str)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _version() -> str:
    """Changes with any of the files that a browser keeps."""
    parts: Sequence[bytes] = [path.read_bytes() for path in sorted((_HERE / "assets").iterdir())]
    return hashlib.sha256(b"".join(parts) + version("plotly").encode()).hexdigest()[:12]
