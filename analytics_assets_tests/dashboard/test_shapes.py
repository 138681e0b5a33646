"""Shapes: fetched or given, simplified once, small, and refused in a sentence."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from analytics_assets import settings
from analytics_assets.core.source import SourceError
from analytics_assets.dashboard import shapes
from analytics_assets.dashboard.declared import MapOf, Shapes, Tiles
from analytics_assets.domains.births.pages import PAGES

OURS = Shapes("OWN_SHAPES", "OWN_SHAPES_URL", "http://127.0.0.1:9/none", 2)
MAPS = {"state": MapOf(Tiles({}), OURS)}


def square(code: str, x: float, **more: object) -> dict[str, object]:
    ring = [[x, 0], [x + 1, 0], [x + 1, 1], [x, 1], [x, 0]]
    place = {"type": "Polygon", "coordinates": [ring]}
    return {
        "type": "Feature",
        "properties": {"codarea": code, "name": "A"},
        "geometry": place,
        **more,
    }


def collection(*features: object) -> str:
    return json.dumps({"type": "FeatureCollection", "features": features})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path / "home"))
    for name in ("OWN_SHAPES", "OWN_SHAPES_URL", "BIRTHS_SHAPES"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def kept() -> list[str]:
    path = shapes.kept(settings.load(), "state")
    assert path
    assert shapes.digits(path) == 2
    return [feature["id"] for feature in json.loads(path.read_text())["features"]]


def prepare(fetch: bool = False) -> list[str]:
    return list(shapes.prepare(settings.load(), MAPS, fetch))


def test_a_file_of_ones_own_is_simplified_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = home / "mine.geojson"
    file.write_text(collection(square("11", 0), square("12", 1), square("1200013", 2)))
    monkeypatch.setenv("OWN_SHAPES", str(file))
    assert shapes.has_news(settings.load(), MAPS)
    assert "2 shapes" in prepare()[0]
    assert kept() == ["11", "12"]
    assert not shapes.has_news(settings.load(), MAPS)
    assert prepare() == []
    file.write_text(collection(square("13", 0)))
    assert prepare()
    assert kept() == ["13"]


def test_topojson_is_read_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arcs = [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]
    place = {"type": "Polygon", "arcs": [[0]], "id": "12", "properties": {"codarea": "12"}}
    topology = {
        "type": "Topology",
        "arcs": arcs,
        "objects": {"states": {"type": "GeometryCollection", "geometries": [place]}},
    }
    (home / "mine.json").write_text(json.dumps(topology))
    monkeypatch.setenv("OWN_SHAPES", str(home / "mine.json"))
    prepare()
    assert kept() == ["12"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no shapes", "cannot be read as shapes"),
        (collection(square("12", 0), square("12", 1)), "two of its features have one code"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    (home / "bad.geojson").write_text(text)
    monkeypatch.setenv("OWN_SHAPES", str(home / "bad.geojson"))
    with pytest.raises(SourceError, match=said):
        prepare()
    assert shapes.kept(settings.load(), "state") is None
    monkeypatch.setenv("OWN_SHAPES", str(home / "none.geojson"))
    with pytest.raises(SourceError, match="no such file"):
        prepare()


@pytest.fixture
def mesh(home: Path) -> Iterator[str]:
    folder = home / "served"
    folder.mkdir()
    (folder / "state.json").write_text(collection(square("12", 0)))
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


def test_shapes_are_fetched_from_the_address_of_the_setting(
    mesh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OWN_SHAPES_URL", f"{mesh}/{{axis}}.json")
    assert prepare() == []
    assert "1 shapes" in prepare(fetch=True)[0]
    assert kept() == ["12"]
    monkeypatch.setenv("OWN_SHAPES_URL", f"{mesh}/gone.json")
    with pytest.raises(SourceError, match="cannot be fetched"):
        prepare(fetch=True)
    assert kept() == ["12"]


@pytest.mark.slow
def test_the_municipalities_of_the_country_are_small(
    home: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = real_data / "geo" / "shapes" / "br_municipalities.geojson"
    if not file.is_file():
        pytest.skip(f"the shapes are not here ({file})")
    monkeypatch.setenv("BIRTHS_SHAPES", str(file))
    list(shapes.prepare(settings.load(), PAGES.maps, fetch=False))
    path = shapes.kept(settings.load(), "municipality")
    assert path
    assert path.stat().st_size <= shapes.MOST_BYTES
    assert len(json.loads(path.read_text())["features"]) > 5500
