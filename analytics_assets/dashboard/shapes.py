"""Shapes of places: fetched or given, simplified once, and kept as small GeoJSON files.

Belongs here: files of shapes -> at most 1.5 MB by level, with the place's code as each id.
Does not belong here: what the levels are (a domain's ``pages.py``), drawing (``figures.py``).

Neighbours keep a common border: a border is simplified once for both (GEOS' coverage). What reads
and simplifies is imported here alone, by the command, and never by the process that serves.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from analytics_assets.core.source import SourceError
from analytics_assets.dashboard.declared import MapOf, Shapes
from analytics_assets.settings import Settings

MOST_BYTES = 1_500_000
_FETCHED_AT_MOST = 300_000_000
_TIMEOUT = 60
# Degrees: 100 m, and then coarser until it is small enough.
_TOLERANCES = (0.001, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2)
_DECIMALS = 3
# Of a point in the file, with its brackets and commas.
_LEAST_BYTES = 14
_CODE = re.compile(r"\d+")


def folder(settings: Settings) -> Path:
    """Where simplified shapes are kept."""
    return settings.home / "shapes"


def kept(settings: Settings, axis: str) -> Path | None:
    """The simplified file of an axis, if there is one."""
    path = folder(settings) / f"{axis}.geojson"
    return path if path.is_file() else None


def prepare(settings: Settings, maps: Mapping[str, MapOf], fetch: bool) -> Iterator[str]:
    """Make the files of all axes that have shapes: of the file that the setting names, or, where
    none is named and ``fetch`` is said, of what the address gives. Yields what was done."""
    for axis, drawn in maps.items():
        shapes = drawn.shapes
        if shapes is None:
            continue
        own = os.environ.get(shapes.setting) or ""
        if own:
            if _is_new(settings, axis, Path(own)):
                yield _of_file(settings, axis, shapes, Path(own))
        elif fetch:
            address = os.environ.get(shapes.address_setting) or shapes.address
            yield _fetched(settings, axis, shapes, address.replace("{axis}", axis))


def has_news(settings: Settings, maps: Mapping[str, MapOf]) -> bool:
    """Whether a file that a setting names is not simplified yet."""
    named = {
        axis: os.environ.get(drawn.shapes.setting) or ""
        for axis, drawn in maps.items()
        if drawn.shapes
    }
    return any(own and _is_new(settings, axis, Path(own)) for axis, own in named.items())


def prepare_and_tell(settings: Settings, maps: Mapping[str, MapOf]) -> None:
    """``prepare`` of what settings name; a file that cannot be used is told, and not shown."""
    try:
        for said in prepare(settings, maps, fetch=False):
            print(said, file=sys.stderr)
    except SourceError as error:
        print(error, file=sys.stderr)


def _mark(path: Path) -> str:
    stat = path.stat()
    return hashlib.sha256(
        f"{path.absolute()} {stat.st_size} {stat.st_mtime_ns}".encode()
    ).hexdigest()


def _is_new(settings: Settings, axis: str, path: Path) -> bool:
    if not path.is_file():
        raise SourceError("there is no such file", str(path), "Name a GeoJSON or TopoJSON.")
    note = folder(settings) / f"{axis}.of"
    return not (note.is_file() and note.read_text() == _mark(path))


def _of_file(settings: Settings, axis: str, shapes: Shapes, path: Path) -> str:
    said = _simplified(settings, axis, shapes, path, str(path))
    _write(folder(settings) / f"{axis}.of", _mark(path).encode())
    return said


def _fetched(settings: Settings, axis: str, shapes: Shapes, address: str) -> str:
    place = folder(settings) / f"{axis}.fetched"
    place.parent.mkdir(parents=True, exist_ok=True)
    advice = f"Try again later, or name a file of your own in {shapes.setting}."
    asked = urllib.request.Request(address, headers={"Accept-Encoding": "gzip"})
    try:
        with urllib.request.urlopen(asked, timeout=_TIMEOUT) as answer:
            body = answer.read(_FETCHED_AT_MOST + 1)
            if answer.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
    except (OSError, EOFError, ValueError) as error:
        why = str(getattr(error, "reason", error))
        raise SourceError(f"it cannot be fetched ({why})", address, advice) from error
    if len(body) > _FETCHED_AT_MOST:
        raise SourceError(f"it is more than {_FETCHED_AT_MOST:,} bytes", address, advice)
    try:
        place.write_bytes(body)
        return _simplified(settings, axis, shapes, place, address)
    finally:
        place.unlink(missing_ok=True)


def _simplified(settings: Settings, axis: str, shapes: Shapes, path: Path, where: str) -> str:
    codes, forms = _read(path, shapes.code_length, where)
    if not codes:
        kept_file = folder(settings) / f"{axis}.geojson"
        kept_file.unlink(missing_ok=True)
        return f"{axis}: {where} has no shape with a code of {shapes.code_length} digits."
    text = _small(codes, forms, where)
    _write(folder(settings) / f"{axis}.geojson", text)
    return f"{axis}: {len(codes):,} shapes, {len(text):,} bytes."


def _read(path: Path, length: int, where: str) -> tuple[list[str], Any]:
    """Codes and geometries of the features whose code is of this length, or a digit shorter."""
    import numpy as np
    import pyogrio
    import shapely

    advice = "Give a GeoJSON or TopoJSON whose features have the IBGE code as id or property."
    try:
        meta, _, forms, values = pyogrio.raw.read(path, read_geometry=True)
        geometries = shapely.from_wkb(forms)
    except Exception as error:  # GDAL and GEOS have classes of their own for each
        raise SourceError("it cannot be read as shapes", where, advice) from error
    fields = dict(zip(meta["fields"], values, strict=True))
    best: dict[int, str] = {}
    for name in sorted(fields, key=lambda name: name.lower() != "id"):
        for n, value in enumerate(fields[name]):
            text = str(value)
            if _CODE.fullmatch(text) and len(text) in (length, max(length - 1, 2)):
                best.setdefault(n, text)
    wanted = [n for n in best if geometries[n] is not None and not shapely.is_empty(geometries[n])]
    codes = [best[n] for n in wanted]
    if len(set(codes)) < len(codes):
        raise SourceError("two of its features have one code", where, advice)
    return codes, np.asarray([geometries[n] for n in wanted], dtype=object)


def _small(codes: list[str], forms: Any, where: str) -> bytes:
    import shapely

    valid = [_areas(form) for form in shapely.make_valid(forms)]
    for tolerance in _TOLERANCES:
        try:
            simple = shapely.coverage_simplify(valid, tolerance)
        except shapely.errors.GEOSException:
            simple = shapely.simplify(valid, tolerance)
        if shapely.get_num_coordinates(simple).sum() * _LEAST_BYTES > MOST_BYTES:
            continue
        text = _geojson(codes, simple)
        if len(text) <= MOST_BYTES:
            return text
    raise SourceError(
        f"it stays above {MOST_BYTES:,} bytes however it is simplified",
        where,
        "Give a file of fewer or coarser shapes.",
    )


def _geojson(codes: list[str], forms: Any) -> bytes:
    features = [
        {"type": "Feature", "id": code, "properties": {}, "geometry": _wound(form)}
        for code, form in zip(codes, forms, strict=True)
    ]
    return json.dumps(
        {"type": "FeatureCollection", "features": features}, separators=(",", ":")
    ).encode()


def _areas(form: Any) -> Any:
    """The polygons of a shape, without the lines and points that mending leaves beside them."""
    import shapely

    parts = shapely.get_parts(shapely.get_parts(form))
    return shapely.multipolygons([part for part in parts if part.geom_type == "Polygon"])


def _wound(form: Any) -> dict[str, Any]:
    """Polygons rounded, their outer rings clockwise, as the drawing library reads them."""
    import shapely
    from shapely.geometry.polygon import orient

    polygons = []
    for part in shapely.get_parts(_areas(shapely.set_precision(form, 10.0**-_DECIMALS))):
        turned = orient(part, sign=-1.0)
        polygons.append([_ring(ring) for ring in (turned.exterior, *turned.interiors)])
    return {"type": "MultiPolygon", "coordinates": polygons}


def _ring(ring: Any) -> list[list[float]]:
    return [[round(x, _DECIMALS), round(y, _DECIMALS)] for x, y in ring.coords]


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}-{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(path)


def digits(path: Path) -> int:
    """How many digits the codes of a kept file have."""
    with path.open("rb") as file:
        found = re.search(rb'"id":"(\d+)"', file.read(4000))
    return len(found[1]) if found else 0
