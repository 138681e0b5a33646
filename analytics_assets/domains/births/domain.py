"""What births bring to the platform."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from analytics_assets.core.domain import SAMPLE, Command, Domain, Setting
from analytics_assets.domains.births.download import download_year
from analytics_assets.domains.births.landing import LANDING
from analytics_assets.domains.births.tables import TABLES


def _generate(folder: Path) -> list[Path]:
    # To import it is half a second of every start, and it is drawn at the first only.
    from analytics_assets.domains.births.sample import generate

    return generate(folder)


def _download(years: Sequence[int]) -> int:
    """Fetch the official files of some years into the landing folder (SINASC_DOWNLOAD_URL)."""
    for year in years:
        for path in download_year(year):
            print(path)
    return 0


DOMAIN = Domain(
    about="Brazilian birth records to 20 aggregates",
    tables=TABLES,
    settings=(
        Setting("SINASC_SOURCE", SAMPLE, "landing folder"),
        Setting("SINASC_DOWNLOAD_URL", "off", "template of the official files' address"),
        Setting(
            "BIRTHS_SHAPES", "off", "GeoJSON or TopoJSON of states or municipalities, for maps"
        ),
        Setting(
            "BIRTHS_SHAPES_URL",
            "IBGE's mesh",
            "where `analytics-assets shapes` fetches shapes; `{axis}` is state or municipality",
        ),
        Setting(
            "BIRTHS_PUBLISH_MUNICIPALITY_DAILY", "off", "1 promotes `agg_municipality_daily`, too"
        ),
        Setting(
            "BIRTHS_PUBLISH_ALL_MEASURES",
            "off",
            "1 promotes all measures of the tables by residence, by facility and month and by"
            " municipality and week, too: otherwise births, caesareans, preterm, low weight,"
            " mothers under 20 and prenatal care",
        ),
        Setting(
            "BIRTHS_PUBLICATION_THRESHOLD",
            "off",
            "counts below it, and cells that would give them away, are withheld in production:"
            " NULL, or no row where the total is",
        ),
    ),
    samples=(partial(LANDING.prepare, _generate),),
    commands=(Command("download", _download, "year", int),),
)
