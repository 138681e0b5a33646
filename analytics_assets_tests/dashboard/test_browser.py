"""A real browser on every kind of page: drawn, narrow, by keyboard, without faults of axe-core.

Also on all published years of one state, where numbers of cards are those of production.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import unescape
from importlib.util import find_spec
from pathlib import Path

import httpx
import playwright.sync_api as playwright
import pytest

from analytics_assets import settings
from analytics_assets.dashboard import shapes
from analytics_assets.domains.births.pages import PAGES as BIRTHS
from analytics_assets.production import server
from analytics_assets_tests.api.conftest import Production
from analytics_assets_tests.api.filled import TABLES
from analytics_assets_tests.births.test_acre import acre  # noqa: F401
from analytics_assets_tests.dashboard.conftest import shown, value_of
from analytics_assets_tests.dashboard.test_composed import cards
from analytics_assets_tests.dashboard.test_shapes import collection, square
from analytics_assets_tests.workspace import Workspace

pytestmark = pytest.mark.slow
PAGES = (
    "/",
    "/pages/births",
    "/pages/ads",
    "/pages/banks",
    "/pages/clinic",
    "/pages/experiments",
    "/pages/operations",
    "/tables/births.agg_state_yearly?lang=pt",
    "/tables/births.agg_state_yearly?chart=bars&by=state",
    "/tables/births.agg_state_yearly?chart=map",
    "/tables/births.agg_municipality_yearly?chart=map&by=municipality",
    "/tables/births.agg_state_monthly?split=state",
    "/tables/births.agg_monthly?chart=seasons",
    "/tables/births.agg_daily?mean=7",
    "/tables/births.dim_sex",
    "/tables/clinic.fct_appointments",
    "/tables/nothing",
    "/tables/births.agg_yearly?from=1900&to=1901",
)
WIDTHS = (1440, 390)
# No function is waited for: to evaluate one again and again is what the page's policy forbids.
_UNDRAWN = ".chart:not([data-drawn])"
_SERIOUS = ("serious", "critical")
# What a mouse can use and sees, and no key has come to.
_UNREACHED = """() => [...document.querySelectorAll(
    'a[href], button, select, input, summary, [tabindex="0"]'
)].filter((one) => one.checkVisibility() && !one.disabled && !one.dataset.reached)
  .map((one) => one.outerHTML.slice(0, 200))"""
# Whether one sees that what was reached has the focus; a field of a date has several stops.
_FOCUSED = """() => {
    const one = document.activeElement;
    if (one === document.body) return null;
    if (one.dataset.reached) return "again";
    one.dataset.reached = "1";
    return getComputedStyle(one).outlineStyle;
}"""
# Charts in which nothing is drawn, or that are wider than the page.
_EMPTY = """() => [...document.querySelectorAll(".chart")].filter((one) =>
    one.getBoundingClientRect().right > innerWidth || !one.data.some((trace) =>
        (trace.z || trace.y || trace.lat || []).some((value) => value !== null)
    )
).map((one) => one.dataset.title)"""
BIRTHS_PAGES = (
    "/pages/births",
    "/pages/births?state=12&measure=cesarean_rate&lang=pt",
    "/pages/births?base=residence&compare=state&scale=1&lang=en",
    "/pages/births?base=residence&state=12&year=2011&lang=en",
    "/pages/births?year=2000&breakdown=race&measure=preterm_rate&lang=pt",
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[playwright.Browser]:
    path = Path("/usr/bin/chromium")
    if not path.exists():
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as browsers:
        yield browsers.chromium.launch(executable_path=path, args=["--no-sandbox"])


class Looked:
    """A page of a browser that can reach nothing but the dashboard."""

    def __init__(self, browser: playwright.Browser, base: str, width: int = 1440) -> None:
        size: playwright.ViewportSize = {"width": width, "height": 900}
        self.page = browser.new_context(viewport=size, accept_downloads=True).new_page()
        self.base, self.width = base.rstrip("/"), width
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", self._told)
        self.page.route("**/*", self._asked)

    def _told(self, message: playwright.ConsoleMessage) -> None:
        # An answer of 404 or 422 is the page that is looked at.
        if message.type in ("error", "warning") and "status of 4" not in message.text:
            self.faults.append(message.text)

    def _asked(self, route: playwright.Route) -> None:
        if route.request.url.startswith((self.base, "data:", "blob:")):
            route.continue_()
        else:
            self.faults.append(f"asked for {route.request.url}")
            route.abort()

    def open(self, path: str) -> None:
        """Open it and wait until all is drawn."""
        self.page.goto(self.base + path)
        self.drawn()

    def drawn(self) -> None:
        """Wait until all is drawn."""
        self.page.wait_for_selector(_UNDRAWN, state="detached")


@pytest.fixture(scope="module")
def axe() -> str:
    found = find_spec("axe_playwright_python")
    if found is None or not found.origin:
        pytest.skip("axe-core is not installed (axe-playwright-python)")
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_is_drawn_fits_and_has_no_serious_fault(
    chromium: playwright.Browser, dashboard: httpx.Client, axe: str, width: int
) -> None:
    looked = Looked(chromium, str(dashboard.base_url), width)
    for path in PAGES:
        looked.open(path)
        assert looked.page.evaluate("document.documentElement.scrollWidth") <= width, path
        # As a debugger does it: the page's own policy lets in no script of others.
        session = looked.page.context.new_cdp_session(looked.page)
        session.send("Runtime.evaluate", {"expression": axe})
        found = looked.page.evaluate("axe.run()")
        faults = [v for v in found["violations"] if v["impact"] in _SERIOUS]
        told = [(v["id"], v["nodes"][0]["html"][:200]) for v in faults]
        assert told == [], path
    assert looked.faults == []


def test_everything_can_be_done_by_keyboard(
    chromium: playwright.Browser, dashboard: httpx.Client
) -> None:
    looked = Looked(chromium, str(dashboard.base_url))
    page = looked.page
    looked.open("/tables/births.agg_state_yearly?lang=en")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "measure":
            break
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    # Who only goes through the options stays where he is.
    assert "measure=" not in page.url
    chosen = page.evaluate("document.activeElement.value")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.type") == "submit":
            break
    page.keyboard.press("Enter")
    page.wait_for_url(f"**measure={chosen}**")
    looked.drawn()
    assert page.locator("tbody td").count()
    assert looked.faults == []


def test_the_keyboard_reaches_whatever_a_mouse_can_use(
    chromium: playwright.Browser, dashboard: httpx.Client
) -> None:
    looked = Looked(chromium, str(dashboard.base_url))
    for path in PAGES:
        looked.open(path)
        for _ in range(400):
            looked.page.keyboard.press("Tab")
            outline = looked.page.evaluate(_FOCUSED)
            if outline is None:
                break
            assert outline != "none", (path, looked.page.evaluate(_UNREACHED)[:1])
        assert looked.page.evaluate(_UNREACHED) == [], path


def test_dates_of_charts_are_in_the_language_of_the_page(
    chromium: playwright.Browser, dashboard: httpx.Client
) -> None:
    looked = Looked(chromium, str(dashboard.base_url))
    for language, day in (("en", "Jan 4"), ("pt", "4 jan")):
        looked.open(f"/pages/ads?lang={language}")
        assert day in looked.page.locator(".xtick").all_text_contents()
    assert looked.faults == []


def test_a_choice_shows_at_once_and_a_picture_can_be_kept(
    chromium: playwright.Browser, dashboard: httpx.Client, tmp_path: Path
) -> None:
    looked = Looked(chromium, str(dashboard.base_url))
    looked.open("/tables/births.agg_state_yearly?lang=en")
    looked.page.get_by_label("Chart", exact=True).select_option("map")
    looked.page.wait_for_url("**chart=map**")
    looked.drawn()
    with looked.page.expect_download() as kept:
        looked.page.get_by_role("button", name="Download PNG").click()
    kept.value.save_as(tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    with looked.page.expect_download() as kept:
        looked.page.get_by_role("link", name="Download CSV").click()
    kept.value.save_as(tmp_path / "map.csv")
    assert "Acre" in (tmp_path / "map.csv").read_text(encoding="utf-8-sig")
    assert looked.faults == []


def test_without_javascript_there_are_numbers_and_a_button(
    chromium: playwright.Browser, dashboard: httpx.Client
) -> None:
    page = chromium.new_context(java_script_enabled=False).new_page()
    page.goto(f"{dashboard.base_url}/tables/births.agg_state_yearly?lang=en")
    assert "Without JavaScript the charts are not drawn" in page.inner_text("main")
    page.get_by_label("State").select_option(label="Acre")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**state=12**")
    assert page.locator("tbody td").first.is_visible()


def test_shapes_are_drawn_from_this_machine(
    chromium: playwright.Browser,
    production: Production,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path))
    (tmp_path / "states.geojson").write_text(collection(square("12", 0), square("35", 1)))
    monkeypatch.setenv("BIRTHS_SHAPES", str(tmp_path / "states.geojson"))
    list(shapes.prepare(settings.load(), BIRTHS.maps, fetch=False))
    with shown(production) as client:
        looked = Looked(chromium, str(client.base_url))
        looked.open("/tables/births.agg_state_yearly?chart=map")
        assert looked.page.locator(".choroplethlayer path[d]").count() == 2
        assert looked.faults == []


@pytest.mark.parametrize("width", WIDTHS)
def test_the_published_years_are_drawn_on_every_page_and_cards_are_what_production_says(
    chromium: playwright.Browser,
    acre: Workspace,  # noqa: F811
    width: int,
) -> None:
    urls = server.urls(settings.load())
    production = Production(urls.promoter, urls.reader)
    promoted = [table for table in TABLES if table.domain == "births" and table.publish]
    with shown(production) as client:
        looked = Looked(chromium, str(client.base_url), width)
        for path in (*BIRTHS_PAGES, *(f"/tables/births.{t.published_name}" for t in promoted)):
            looked.open(path)
            assert looked.page.locator(".empty").count() == 0, path
            assert looked.page.evaluate(_EMPTY) == [], path
            assert looked.page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert looked.faults == []
        for base, table in (("occurrence", "agg_state"), ("residence", "agg_residence_state")):
            asked = {"base": base, "state": "12", "year": "2015", "lang": "en"}
            found = cards(unescape(client.get("/pages/births", params=asked).text))
            where = f"births.{table}_yearly where state_code = '12' and year in (2014, 2015)"
            births = value_of(production, f"select total_births from {where} and year = 2015")
            before = value_of(production, f"select total_births from {where} and year = 2014")
            value, change = found["Births"]
            assert value == f"{births:,}"
            assert f"{abs(100 * (births - before) / before):,.1f}%" in change
            for label, column in (
                ("Caesarean rate", "cesarean_rate"),
                ("Preterm rate", "preterm_rate"),
                ("Low birth weight", "low_birth_weight_rate"),
            ):
                rate = value_of(production, f"select {column} from {where} and year = 2015")
                assert found[label][0] == f"{rate:,.1f}%"
