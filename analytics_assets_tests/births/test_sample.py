"""The made-up SINASC files look like real ones, and the reference data hold what they claim."""

import csv
import datetime as dt
import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyogrio
import pytest

from analytics_assets.domains.births import sample
from analytics_assets.domains.births.columns import REFERENCE
from analytics_assets.domains.births.sample.shares import STATE_BIRTHS

BIRTHS = 40_000
YEAR = 2024


def reference(name: str) -> list[dict[str, str]]:
    with (REFERENCE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_csv(path: Path) -> pa.Table:
    names = [name.strip('"') for name in path.open(encoding="ascii").readline().strip().split(";")]
    return pa_csv.read_csv(
        path,
        parse_options=pa_csv.ParseOptions(delimiter=";"),
        convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )


def read_dbf(path: Path) -> pa.Table:
    return pyogrio.read_arrow(path, read_geometry=False, encoding="latin-1")[1]


def share(values: pa.ChunkedArray, *wanted: str) -> float:
    return pc.mean(pc.is_in(values, pa.array(wanted))).as_py()


def numbers(values: pa.ChunkedArray) -> np.ndarray:
    """The readable numbers; the unknown 9999 and 0 left out."""
    texts = [text for text in values.to_pylist() if text.isdigit()]
    return np.array([int(text) for text in texts if text not in ("9999", "0000", "99")])


def birth_dates(values: pa.ChunkedArray) -> list[dt.date | None]:
    def parse(text: str) -> dt.date | None:
        try:
            return dt.datetime.strptime(text.zfill(8), "%d%m%Y").date()
        except ValueError:
            return None

    return [parse(text) for text in values.to_pylist()]


@pytest.fixture(scope="module")
def births(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """One year of the newer layout, five times as many damaged rows as by default."""
    folder = tmp_path_factory.mktemp("sample")
    files = sample.generate(
        folder, births=BIRTHS, first_year=YEAR, years=1, dbf_years=0, bad_share=0.01
    )
    return read_csv(files[0])


# --- files -------------------------------------------------------------------------------------


def test_files_names_layouts_and_total(tmp_path: Path) -> None:
    files = sample.generate(tmp_path, births=5_003, years=3, dbf_years=1)
    assert [path.name for path in files] == [
        "DNAC2023.dbf", "DNAL2023.dbf", "DNES2023.dbf", "SINASC_2024.csv", "SINASC_2025.csv"
    ]  # fmt: skip
    assert sorted(tmp_path.iterdir()) == sorted(files), "nothing else is left behind"
    tables = [read_dbf(path) for path in files[:3]] + [read_csv(path) for path in files[3:]]
    assert sum(table.num_rows for table in tables) == 5_003

    for table, state in zip(tables[:3], ("12", "27", "32"), strict=True):
        assert len(table.column_names) == 29
        assert table.column_names[:2] == ["contador", "LOCNASC"]
        assert table.column_names[-1] == "UFINFORM"
        assert pc.unique(pc.utf8_length(table["CODMUNNASC"])).to_pylist() == [7]
        assert share(pc.utf8_slice_codeunits(table["CODMUNNASC"], 0, 2), state) == 1
    for table in tables[3:]:
        assert len(table.column_names) == 61
        assert (table.column_names[0], table.column_names[-1]) == ("ORIGEM", "CONTADOR")
        assert pc.unique(pc.utf8_length(table["CODMUNNASC"])).to_pylist() == [6]
        counter = pc.cast(table["CONTADOR"], pa.int64()).to_pylist()
        assert counter == list(range(1, table.num_rows + 1))
    header, first = files[3].read_text(encoding="ascii").splitlines()[:2]
    assert header.startswith('"ORIGEM";"CODESTAB";')
    assert all(value[0] == value[-1] == '"' for value in first.split(";")), "every value is quoted"


def test_same_arguments_same_bytes_and_another_seed_other_bytes(tmp_path: Path) -> None:
    arguments = {"births": 2_000, "states": ["RR", "DF"]}
    first = sample.generate(tmp_path / "first", **arguments)
    again = sample.generate(tmp_path / "again", **arguments)
    other = sample.generate(tmp_path / "other", **arguments, seed=1)
    for one, two, three in zip(first, again, other, strict=True):
        assert one.read_bytes() == two.read_bytes()
        assert one.read_bytes() != three.read_bytes()


def test_order_of_states_does_not_matter_and_files_are_replaced(tmp_path: Path) -> None:
    before = sample.generate(tmp_path, births=3_000, states=["ES", "AC"], dbf_years=0)
    contents = [path.read_bytes() for path in before]
    after = sample.generate(tmp_path, births=3_000, states=["AC", "ES", "AC"], dbf_years=0)
    assert [path.read_bytes() for path in after] == contents
    sample.generate(tmp_path, births=10, states=["AC", "ES"], dbf_years=0)
    assert sum(read_csv(path).num_rows for path in after) == 10


def test_more_births_than_one_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "CHUNK", 300)
    files = sample.generate(tmp_path, births=2_000, states=["SP"], years=2, dbf_years=1)
    old, new = read_dbf(files[0]), read_csv(files[1])
    assert old.num_rows + new.num_rows == 2_000
    assert len(set(old["contador"].to_pylist())) == old.num_rows
    assert len(set(new["DTNASCMAE"].to_pylist())) > new.num_rows / 2, "chunks do not repeat"


def test_no_births_gives_empty_files(tmp_path: Path) -> None:
    files = sample.generate(tmp_path, births=0, states=["AC"])
    assert read_dbf(files[0]).num_rows == 0
    assert len(files[1].read_text().splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"states": ["ZZ"]},
        {"states": []},
        {"births": -1},
        {"years": 0},
        {"dbf_years": 3},
        {"bad_share": 1.5},
        {"first_year": 1200},
    ],
)
def test_impossible_arguments_are_refused(tmp_path: Path, arguments: dict) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        sample.generate(tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


# --- realism -----------------------------------------------------------------------------------


def test_shares_are_those_of_brazil(births: pa.Table) -> None:
    assert 0.54 < share(births["PARTO"], "2") < 0.60
    assert 0.09 < share(births["GESTACAO"], "1", "2", "3", "4") < 0.13
    assert 0.018 < share(births["GRAVIDEZ"], "2", "3") < 0.027
    assert 0.005 < share(births["LOCNASC"], "3") < 0.015
    assert 0.20 < 1 - pc.mean(pc.equal(births["CODMUNNASC"], births["CODMUNRES"])).as_py() < 0.32
    assert 0.2 < share(births["CODOCUPMAE"], "999992") < 0.5
    weights, ages = numbers(births["PESO"]), numbers(births["IDADEMAE"])
    assert 3_100 < weights.mean() < 3_260
    assert 26 < ages.mean() < 28
    assert (ages.min(), ages.max()) == (12, 49)


def test_preterm_children_are_lighter_and_columns_agree(births: pa.Table) -> None:
    preterm = pc.is_in(births["GESTACAO"], pa.array(["1", "2", "3", "4"]))
    light = numbers(births.filter(preterm)["PESO"]).mean()
    assert light < numbers(births.filter(pc.invert(preterm))["PESO"]).mean() - 500

    def agree(given: str, codes: list[str], then: str, expected: list[str]) -> None:
        rows = births.filter(pc.is_in(births[given], pa.array(codes)))
        assert rows.num_rows
        # all but the few unknown or damaged ones
        assert share(rows[then], *expected) > 0.97

    agree("TPROBSON", ["01", "02", "06"], "PARIDADE", ["0"])
    agree("TPROBSON", ["08"], "GRAVIDEZ", ["2", "3"])
    agree("TPROBSON", ["10"], "GESTACAO", ["1", "2", "3", "4"])
    agree("SEMAGESTAC", ["38", "39", "40"], "GESTACAO", ["5"])
    agree("CONSPRENAT", ["07", "10"], "CONSULTAS", ["4"])
    agree("IDANOMAL", ["2", "9"], "CODANOMAL", [""])
    agree("PARTO", ["1"], "STCESPARTO", ["3", ""])


def test_fewer_births_and_caesareans_at_weekends(births: pa.Table) -> None:
    days = np.array([day.weekday() if day else -1 for day in birth_dates(births["DTNASC"])])
    caesarean = np.array(births["PARTO"].to_pylist()) == "2"
    weekend = np.isin(days, (5, 6))
    assert weekend.mean() < 2 / 7 * 0.8
    assert caesarean[weekend].mean() < caesarean[~weekend & (days >= 0)].mean() - 0.1
    months = [day.month for day in birth_dates(births["DTNASC"]) if day and day.year == YEAR]
    counts = np.bincount(months, minlength=13)
    assert counts[3:6].sum() > 1.1 * counts[10:13].sum()


def test_births_are_not_sorted_by_date(births: pa.Table) -> None:
    days = [day for day in birth_dates(births["DTNASC"]) if day][:1_000]
    rising = sum(one <= two for one, two in itertools.pairwise(days))
    assert 400 < rising < 600


def test_few_places_hold_most_births(births: pa.Table) -> None:
    for column in ("CODMUNNASC", "CODMUNRES"):
        counts = np.sort(pc.value_counts(births[column]).field("counts").to_numpy())[::-1]
        assert counts[: len(counts) // 10].sum() > 0.5 * counts.sum()
    assert share(births["CODMUNNASC"], "120000", "270000", "320000") > 0, "some place unknown"


def test_small_places_have_mothers_and_hardly_a_birth(tmp_path: Path) -> None:
    """A year of a large state, with as many births as it has."""
    (path,) = sample.generate(
        tmp_path, births=STATE_BIRTHS["MG"] * 1000, states=["MG"], years=1, dbf_years=0, bad_share=0
    )
    births = read_csv(path)
    births = births.filter(pc.equal(pc.utf8_length(births["DTNASC"]), 8))
    births = births.filter(pc.starts_with(births["CODMUNRES"], "31"))
    months = pc.utf8_slice_codeunits(births["DTNASC"], 2, 4)

    def places_a_month(column: str) -> float:
        pairs = pa.table({"place": births[column], "month": months})
        counted = pairs.group_by(["place", "month"]).aggregate([([], "count_all")])
        return pc.sum(pc.greater(counted["count_all"], 0)).as_py() / 12

    assert 800 < places_a_month("CODMUNRES") < 860
    assert 400 < places_a_month("CODMUNNASC") < 600
    facilities = births.filter(pc.not_equal(births["CODESTAB"], ""))
    assert 400 < pc.count_distinct(facilities["CODESTAB"]).as_py() < 600
    served = pc.is_in(births["CODMUNNASC"], pc.unique(facilities["CODMUNNASC"]))
    assert share(births.filter(pc.invert(served))["LOCNASC"], "3") > 0.99


def test_facilities_are_stable_and_belong_to_one_municipality(tmp_path: Path) -> None:
    files = sample.generate(tmp_path, births=20_000, states=["ES"], dbf_years=0)
    years = []
    for table in map(read_csv, files):
        place = table.filter(pc.not_equal(table["CODMUNNASC"], "320000"))
        pairs = set(
            zip(*(place[name].to_pylist() for name in ("CODESTAB", "CODMUNNASC")), strict=True)
        )
        pairs = {pair for pair in pairs if pair[0]}
        assert all(len(facility) == 7 for facility, _ in pairs)
        assert len({facility for facility, _ in pairs}) == len(pairs)
        per_municipality = np.unique([place for _, place in pairs], return_counts=True)[1]
        assert per_municipality.max() <= 30
        years.append(pairs)
    assert len(years[0] & years[1]) > 0.5 * len(years[0])


def test_damaged_rows_are_as_many_as_asked(births: pa.Table) -> None:
    dates = birth_dates(births["DTNASC"])
    bad_date = np.array([day is None or day.year != YEAR for day in dates])
    texts = births["DTNASC"].to_pylist()
    assert {f"3102{YEAR}", "00000000", "ABCDEFGH", ""} <= set(texts)
    assert {day.year for day in dates if day} == {YEAR - 1, YEAR, YEAR + 1}
    assert any(len(text) == 7 and text.isdigit() for text in texts), "lost leading zeros"

    weights = births["PESO"].to_pylist()
    bad_rest = np.array([bool(text) and not text.isdigit() for text in weights])
    for column, code in (("PARTO", "7"), ("SEXO", "X"), ("CONSULTAS", "8"), ("GESTACAO", "A")):
        bad_rest |= np.array(births[column].to_pylist()) == code
    assert 0.004 < bad_date.mean() < 0.006
    assert 0.004 < bad_rest.mean() < 0.006


def test_without_damage_every_code_is_in_the_book(tmp_path: Path) -> None:
    path = sample.generate(tmp_path, births=10_000, years=1, dbf_years=0, bad_share=0)[0]
    table = read_csv(path)
    assert all(day and day.year == 2023 for day in birth_dates(table["DTNASC"]))
    known: dict[str, set[str]] = {}
    for row in reference("code_lists.csv"):
        known.setdefault(row["list"], set()).add(row["code"])
    for column, name in CODED_COLUMNS.items():
        stored = set(table[column].to_pylist())
        unknown = {"", "9"} | ({"09"} if column == "ESCMAEAGR1" else set())
        unknown |= {"0"} if column == "SEXO" else set()
        assert stored - unknown <= known[name], column
    municipalities = {row["municipality_code"][:6] for row in reference("municipalities.csv")}
    occupations = {row["occupation_code"] for row in reference("occupations.csv")}
    for column in ("CODMUNNASC", "CODMUNRES", "CODMUNNATU"):
        assert set(table[column].to_pylist()) - {""} <= municipalities
    assert set(table["CODOCUPMAE"].to_pylist()) - {""} <= occupations


CODED_COLUMNS = {
    "LOCNASC": "birth_place",
    "ESTCIVMAE": "marital_status",
    "ESCMAE": "schooling",
    "ESCMAE2010": "schooling_2010",
    "ESCMAEAGR1": "schooling_2010_grouped",
    "GESTACAO": "gestation_class",
    "GRAVIDEZ": "plurality",
    "PARTO": "delivery",
    "CONSULTAS": "prenatal_visits",
    "SEXO": "sex",
    "RACACOR": "race",
    "RACACORMAE": "race",
    "IDANOMAL": "anomaly",
    "TPAPRESENT": "presentation",
    "STTRABPART": "labour_induced",
    "STCESPARTO": "caesarean_before_labour",
    "PARIDADE": "parity",
    "TPROBSON": "robson_group",
    "KOTELCHUCK": "kotelchuck",
    "TPNASCASSI": "birth_attendant",
    "TPMETESTIM": "gestation_method",
}


# --- reference data ----------------------------------------------------------------------------


def test_states_and_regions() -> None:
    regions = {row["region_code"] for row in reference("regions.csv")}
    states = reference("states.csv")
    real = [row for row in states if row["state_code"] != "00"]
    assert (len(real), len(states), len(regions)) == (27, 28, 6)
    assert {row["state_abbreviation"] for row in real} == set(STATE_BIRTHS)
    for row in states:
        assert row["region_code"] == row["state_code"][0]
        assert row["region_code"] in regions


def test_municipalities() -> None:
    states = {row["state_code"] for row in reference("states.csv")}
    rows = reference("municipalities.csv")
    codes = [row["municipality_code"] for row in rows]
    assert codes == sorted(set(codes))
    assert all(len(code) == 7 for code in codes)
    assert all(row["municipality_code"][:2] == row["state_code"] for row in rows)
    unknown = [row for row in rows if row["municipality_code"].endswith("00000")]
    assert {row["state_code"] for row in unknown} == states
    assert len(rows) - len(unknown) == 5_571
    assert len({code[:6] for code in codes}) == len(codes), "six digits identify a municipality"
    assert sum(row["is_capital"] == "1" for row in rows) == 27
    for row in rows:
        if row not in unknown:
            assert -34 < float(row["latitude"]) < 6
            assert -74 < float(row["longitude"]) < -28


def test_occupations() -> None:
    rows = reference("occupations.csv")
    codes = [row["occupation_code"] for row in rows]
    assert codes == sorted(set(codes))
    assert {(row["classification"], len(row["occupation_code"])) for row in rows} == {
        ("CBO-2002", 6),
        ("CBO-1994", 5),
    }
    assert all(row["occupation_name"] for row in rows)
    assert {"999991", "999992", "999993", "999994", "998999", "00800"} <= set(codes)


def test_code_lists() -> None:
    rows = reference("code_lists.csv")
    for key in ("code", "label", "label_pt", "position"):
        assert len({(row["list"], row[key]) for row in rows}) == len(rows), key
        assert all(row[key] for row in rows)
    lists = {row["list"] for row in rows}
    assert lists == set(CODED_COLUMNS.values()) | {"maternal_age_group", "birth_weight_class"}
