"""Seeded, made-up birth records in two real SINASC file layouts, for tests, demos and benchmarks.

What belongs here: drawing records that look like Brazilian births (places, seasons, clinical
detail, unknown codes, damaged rows) and writing them as files a data source would deliver.
What does not: reading, typing or checking files, and any rule of the pipeline. The pipeline must
not import this module, so that a mistake here cannot hide a mistake there.

No record is copied from a real file; only published totals and shares shape the draws.
"""

import csv
import datetime as dt
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

__all__ = ["generate"]

REFERENCE = Path(__file__).parent / "reference"
CHUNK = 100_000
LEVELS = 65_536
"""Every categorical draw looks one 16-bit random number up in a table of this many outcomes."""

# Births by state of residence, thousands a year, and caesareans per birth, both about 2018.
STATE_BIRTHS = {
    "AC": 17, "AL": 52, "AM": 78, "AP": 16, "BA": 204, "CE": 131, "DF": 44, "ES": 57, "GO": 100,
    "MA": 117, "MG": 264, "MS": 44, "MT": 59, "PA": 138, "PB": 60, "PE": 136, "PI": 50, "PR": 156,
    "RJ": 220, "RN": 47, "RO": 28, "RR": 12, "RS": 140, "SC": 99, "SE": 34, "SP": 606, "TO": 25,
}  # fmt: skip
CAESAREAN_SHARE = {
    "AC": 0.41, "AL": 0.54, "AM": 0.39, "AP": 0.36, "BA": 0.46, "CE": 0.59, "DF": 0.55, "ES": 0.63,
    "GO": 0.67, "MA": 0.48, "MG": 0.58, "MS": 0.62, "MT": 0.61, "PA": 0.50, "PB": 0.60, "PE": 0.53,
    "PI": 0.55, "PR": 0.62, "RJ": 0.59, "RN": 0.62, "RO": 0.66, "RR": 0.34, "RS": 0.63, "SC": 0.58,
    "SE": 0.46, "SP": 0.59, "TO": 0.54,
}  # fmt: skip

OLD_LAYOUT = {
    "contador": 8, "LOCNASC": 1, "CODESTAB": 7, "CODBAINASC": 8, "CODMUNNASC": 7, "IDADEMAE": 2,
    "ESTCIVMAE": 1, "ESCMAE": 1, "CODOCUPMAE": 6, "QTDFILVIVO": 2, "QTDFILMORT": 2,
    "CODBAIRES": 8, "CODMUNRES": 7, "GESTACAO": 1, "GRAVIDEZ": 1, "PARTO": 1, "CONSULTAS": 1,
    "DTNASC": 8, "HORANASC": 4, "SEXO": 1, "APGAR1": 2, "APGAR5": 2, "RACACOR": 1, "PESO": 4,
    "IDANOMAL": 1, "CODANOMAL": 20, "DTCADASTRO": 8, "DTRECEBIM": 8, "UFINFORM": 2,
}  # fmt: skip
"""Columns of the 2007-2008 DBF files in file order, with their widths in characters."""

NEW_LAYOUT = [
    "ORIGEM", "CODESTAB", "CODMUNNASC", "LOCNASC", "IDADEMAE", "ESTCIVMAE", "ESCMAE", "CODOCUPMAE",
    "QTDFILVIVO", "QTDFILMORT", "CODMUNRES", "GESTACAO", "GRAVIDEZ", "PARTO", "CONSULTAS", "DTNASC",
    "HORANASC", "SEXO", "APGAR1", "APGAR5", "RACACOR", "PESO", "IDANOMAL", "DTCADASTRO",
    "CODANOMAL", "NUMEROLOTE", "VERSAOSIST", "DTRECEBIM", "DIFDATA", "DTRECORIGA", "NATURALMAE",
    "CODMUNNATU", "CODUFNATU", "ESCMAE2010", "SERIESCMAE", "DTNASCMAE", "RACACORMAE", "QTDGESTANT",
    "QTDPARTNOR", "QTDPARTCES", "IDADEPAI", "DTULTMENST", "SEMAGESTAC", "TPMETESTIM", "CONSPRENAT",
    "MESPRENAT", "TPAPRESENT", "STTRABPART", "STCESPARTO", "TPNASCASSI", "TPFUNCRESP", "TPDOCRESP",
    "DTDECLARAC", "ESCMAEAGR1", "STDNEPIDEM", "STDNNOVA", "CODPAISRES", "TPROBSON", "PARIDADE",
    "KOTELCHUCK", "CONTADOR",
]  # fmt: skip
"""Columns of the OpenDataSUS CSV files in file order."""

Columns = dict[str, pa.Array]


def generate(
    folder: Path,
    *,
    births: int = 60_000,
    states: Sequence[str] = ("AC", "AL", "ES"),
    first_year: int = 2023,
    years: int = 2,
    dbf_years: int = 1,
    seed: int = 2024,
    bad_share: float = 0.002,
) -> list[Path]:
    """Write `births` made-up records for `years` years and return the files, oldest year first.

    The first `dbf_years` years become one `DN{UF}{YYYY}.dbf` per state (29 columns, 7-digit
    municipality codes), each later year one `SINASC_{YYYY}.csv` (61 columns, 6-digit codes).
    Births are records in all files together, split by year and by state of birth; `bad_share` is
    the expected share (0..1) of damaged records, half of them in DTNASC. The same arguments give
    the same bytes. Existing files of the same names are replaced, each in one step.

    Raises ValueError for an unknown or missing state, negative births, fewer than one year, a
    `dbf_years` outside 0..years, a year outside 1990..2100 or a share outside 0..1.
    """
    unknown = sorted(set(states) - set(STATE_BIRTHS))
    if unknown or not states:
        raise ValueError(f"unknown states: {unknown}" if unknown else "no state given")
    if births < 0 or years < 1 or not 0 <= dbf_years <= years or not 0 <= bad_share <= 1:
        raise ValueError(
            "need births >= 0, years >= 1, 0 <= dbf_years <= years and 0 <= bad_share <= 1, got "
            f"births={births}, years={years}, dbf_years={dbf_years}, bad_share={bad_share}"
        )
    if not 1990 <= first_year <= first_year + years - 1 <= 2100:
        raise ValueError(f"years {first_year}..{first_year + years - 1} not within 1990..2100")

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(set(states))
    counts = _split_births(births, names, years)
    written = []
    with TemporaryDirectory(dir=folder, prefix=".sample-") as work:
        for year, year_counts in zip(range(first_year, first_year + years), counts, strict=True):
            blocks = [(_state(name, seed), n) for name, n in zip(names, year_counts, strict=True)]
            if year < first_year + dbf_years:
                files = [(f"DN{state.name}{year}.dbf", [(state, n)]) for state, n in blocks]
                write = _write_dbf
            else:
                files = [(f"SINASC_{year}.csv", blocks)]
                write = _write_csv
            for name, parts in files:
                write(Path(work) / name, _chunks(parts, year, seed, bad_share))
                os.replace(Path(work) / name, folder / name)
                written.append(folder / name)
    return written


def _split_births(births: int, states: Sequence[str], years: int) -> np.ndarray:
    """Whole births per (year, state), summing exactly; births fall by 1.5 % a year, as they do."""
    weights = np.outer(0.985 ** np.arange(years), [STATE_BIRTHS[name] for name in states]).ravel()
    ends = np.rint(births * np.cumsum(weights) / weights.sum()).astype(np.int64)
    return np.diff(ends, prepend=0).reshape(years, len(states))


def _chunks(
    blocks: "Sequence[tuple[_State, int]]", year: int, seed: int, bad_share: float
) -> Iterator[Columns]:
    first = 1
    for state, births in blocks:
        for number, start in enumerate(range(0, births, CHUNK)):
            n = min(CHUNK, births - start)
            rng = np.random.default_rng([seed, year, int(state.code), number])
            columns = _records(_Draw(rng, n), state, year, bad_share)
            columns["CONTADOR"] = pa.array(np.arange(first, first + n)).cast(pa.string())
            first += n
            yield columns


def _write_csv(path: Path, chunks: Iterator[Columns]) -> None:
    schema = pa.schema([(name, pa.string()) for name in NEW_LAYOUT])
    options = pa_csv.WriteOptions(
        include_header=False, delimiter=";", quoting_style="all_valid", batch_size=4096
    )
    with path.open("wb") as file:
        file.write((";".join(f'"{name}"' for name in NEW_LAYOUT) + "\n").encode("ascii"))
        with pa_csv.CSVWriter(file, schema, write_options=options) as writer:
            for columns in chunks:
                columns["CODMUNNASC"] = pc.utf8_slice_codeunits(columns["CODMUNNASC"], 0, 6)
                columns["CODMUNRES"] = pc.utf8_slice_codeunits(columns["CODMUNRES"], 0, 6)
                writer.write_batch(
                    pa.record_batch([columns[name] for name in NEW_LAYOUT], schema=schema)
                )


def _write_dbf(path: Path, chunks: Iterator[Columns]) -> None:
    import pyogrio

    # Without a width every field is 80 characters; the option RESIZE would fix that, far slower.
    schema = pa.schema(
        [
            pa.field(name, pa.string(), metadata={"GDAL:OGR:width": str(width)})
            for name, width in OLD_LAYOUT.items()
        ]
    )
    batches = (
        pa.record_batch([columns[name.upper()] for name in OLD_LAYOUT], schema=schema)
        for columns in chunks
    )
    pyogrio.write_arrow(
        pa.RecordBatchReader.from_batches(schema, batches),
        path,
        driver="ESRI Shapefile",
        encoding="ISO-8859-1",
        # The header holds a date, today's unless told: the bytes would change every day.
        layer_options={"DBF_DATE_LAST_UPDATE": "2024-01-01"},
    )


# --- drawing ---------------------------------------------------------------------------------


def _table(weights: Sequence[float] | np.ndarray) -> np.ndarray:
    """Outcome numbers 0..k-1, `LEVELS` of them, each as often as its weight says."""
    ends = np.cumsum(np.asarray(weights, dtype=float))
    outcomes = np.searchsorted(ends / ends[-1], (np.arange(LEVELS) + 0.5) / LEVELS)
    return outcomes.astype(np.uint8 if len(ends) <= 256 else np.uint16)


def _tables(weights_by_group: Sequence[Sequence[float] | np.ndarray]) -> np.ndarray:
    return np.stack([_table(weights) for weights in weights_by_group])


class _Draw:
    """Random draws for one chunk of `n` births."""

    def __init__(self, rng: np.random.Generator, n: int) -> None:
        self.rng = rng
        self.n = n

    def bits(self) -> np.ndarray:
        return self.rng.integers(0, LEVELS, self.n, dtype=np.uint16)

    def pick(self, table: np.ndarray) -> np.ndarray:
        return table.take(self.bits())

    def pick_by(self, tables: np.ndarray, group: np.ndarray) -> np.ndarray:
        return tables.ravel().take(group * np.int32(LEVELS) + self.bits())

    def happens(self, share: float | np.ndarray) -> np.ndarray:
        return self.bits() < np.asarray(share, dtype=np.float32) * LEVELS

    def rows(self, share: float) -> np.ndarray:
        """Distinct row numbers, about `share` of all: far cheaper than a draw per row when rare."""
        if share > 0.02:
            return np.flatnonzero(self.happens(share))
        return np.unique(self.rng.integers(0, max(self.n, 1), self.rng.binomial(self.n, share)))

    def with_unknown(self, values: np.ndarray, shares: Mapping[int, float]) -> np.ndarray:
        """A copy of `values` with each of the given values put in about its share of the rows."""
        result = values.astype(np.int32)
        for unknown, share in shares.items():
            result[self.rows(share)] = unknown
        return result


def _words(values: Sequence[str]) -> pa.Array:
    return pa.array(list(values), pa.string())


def _text(words: pa.Array, index: np.ndarray) -> pa.Array:
    return words.take(pa.array(index))


class _Codes(NamedTuple):
    words: pa.Array
    table: np.ndarray

    @classmethod
    def of(cls, shares: Mapping[str, float]) -> "_Codes":
        return cls(_words(list(shares)), _table(list(shares.values())))


BLANK = 100
"""Index of the empty word after the two-digit numbers 00..99."""
TWO_DIGITS = _words([f"{number:02d}" for number in range(100)] + [""])
THREE_DIGITS = _words([f"{number:03d}" for number in range(1000)])
DIGITS = _words([str(number) for number in range(10)])
GRAMS = _words([f"{number:04d}" for number in range(10_000)] + [""])

_SHARES: dict[str, Mapping[str, float]] = {
    "ORIGEM": {"1": 1},
    "SEXO": {"1": 51.2, "2": 48.78, "0": 0.02},
    "VERSAOSIST": {"3.2.01": 96, "3.2.00": 2, "": 2},
    "TPFUNCRESP": {"2": 60, "5": 36, "4": 2, "3": 0.4, "1": 0.6, "": 1},
    "TPDOCRESP": {"4": 54, "3": 40, "0": 4, "5": 1, "": 1},
    "STDNEPIDEM": {"0": 99.9, "1": 0.1},
    "STDNNOVA": {"1": 1},
    "CODPAISRES": {"1": 1},
    "DTRECORIGA": {"": 1},
    "CODBAINASC": {"": 94} | {f"{number:08d}": 1 for number in (2, 3, 20, 798, 800, 804)},
    "CODBAIRES": {"": 40} | {f"{number:08d}": 60 / number for number in range(1, 200)},
}
INDEPENDENT = {column: _Codes.of(shares) for column, shares in _SHARES.items()}
OTHER_FACILITY = 1
BIRTH_PLACE = _Codes.of({"1": 98.1, "2": 0.5, "3": 0.9, "4": 0.2, "5": 0.2, "9": 0.1})

# Teenage, 20 to 34, 35 and older: the groups that the tables "by age" below follow.
AGES = np.arange(12, 50)
AGE_TABLE = _table(np.exp(-(((AGES - 25) / np.where(AGES < 25, 5.3, 7.8)) ** 2) / 2))
AGE_GROUP = np.where(np.arange(100) < 20, 0, np.where(np.arange(100) < 35, 1, 2)).astype(np.uint8)
MARITAL_WORDS = _words(["1", "2", "3", "4", "5", "9", ""])
MARITAL_BY_AGE = _tables(
    [
        [58, 6, 0.1, 0.1, 34, 1, 0.8],
        [40, 32, 0.2, 1.3, 25, 0.9, 0.6],
        [27, 50, 0.5, 3.5, 17.5, 0.9, 0.6],
    ]
)
# One row per kind of schooling, so that the four columns agree:
# ESCMAE, ESCMAE2010, ESCMAEAGR1, SERIESCMAE, group for prenatal care, share by age group.
SCHOOLING = [
    ("1", "0", "00", "", 0, (0.3, 0.4, 0.8)),
    ("2", "1", "01", "3", 0, (1, 1, 1.5)),
    ("3", "1", "02", "4", 0, (1, 1.5, 2)),
    ("3", "1", "10", "", 0, (1, 1, 1.5)),
    ("3", "2", "03", "6", 0, (15, 6, 5)),
    ("4", "2", "04", "8", 0, (9, 5, 4.5)),
    ("3", "2", "11", "", 0, (14, 8, 7)),
    ("4", "3", "05", "2", 1, (27, 9, 6)),
    ("4", "3", "06", "3", 1, (14, 28, 24)),
    ("4", "3", "12", "", 1, (14, 15, 12)),
    ("5", "4", "07", "", 2, (1.7, 7, 5)),
    ("5", "5", "08", "", 2, (0.2, 17, 28)),
    ("9", "9", "09", "", 1, (0.8, 0.8, 0.8)),
    ("", "", "", "", 1, (1, 1, 1)),
]
SCHOOLING_WORDS = {
    column: _words([str(row[number]) for row in SCHOOLING])
    for number, column in enumerate(("ESCMAE", "ESCMAE2010", "ESCMAEAGR1", "SERIESCMAE"))
}
SCHOOLING_GROUP = np.array([row[4] for row in SCHOOLING], dtype=np.uint8)
SCHOOLING_BY_AGE = _tables([[row[5][group] for row in SCHOOLING] for group in range(3)])
RACE_WORDS = _words(["1", "2", "3", "4", "5", "9", ""])
RACE_BY_REGION = {
    "1": _table([15, 4, 0.3, 77, 3, 0.1, 1.5]),
    "2": _table([18, 6, 0.4, 73, 0.5, 0.1, 2]),
    "3": _table([45, 9, 0.5, 44, 0.1, 0.1, 1.3]),
    "4": _table([80, 5, 0.3, 13, 0.4, 0.1, 1.2]),
    "5": _table([32, 5, 0.6, 60, 1.5, 0.1, 1.5]),
}

EARLIER_BIRTHS_BY_AGE = _tables(
    [
        [82, 15, 2.5, 0.5],
        [40, 33, 16, 6.5, 2.5, 1, 0.5, 0.3, 0.1, 0.1],
        [20, 35, 23, 11, 5, 3, 1.5, 0.8, 0.4, 0.2, 0.1],
    ]
)
# Earlier caesareans among 0..10 earlier births: all or none far oftener than chance would have it.
EARLIER_CAESAREANS = _tables(
    [
        [0.55 + 0.45 * (total == 0)]
        + [0.10] * max(min(total, 4) - 1, 0)
        + [0.38] * (0 < total <= 4)
        for total in range(11)
    ]
)
LOSSES = _table([83, 13, 3, 0.7, 0.2, 0.1])
SINGLE, PLURAL_UNKNOWN = 0, 3
PLURALITY = _Codes.of({"1": 97.65, "2": 2.14, "3": 0.06, "9": 0.05, "": 0.1})
PRESENTATION = _Codes.of({"1": 95.3, "2": 3.2, "3": 0.4, "9": 0.6, "": 0.5})

WEEKS = np.arange(19, 46)
WEEKS_TABLES = _tables(
    [
        # 19-21, 22-27, 28-31, 32-36, 37-41 and 42-45 weeks
        [0.01, 0.01, 0.02] + [0.05, 0.06, 0.08, 0.09, 0.1, 0.12] + [0.17, 0.2, 0.27, 0.34]
        + [0.5, 0.7, 1.3, 2.2, 4.0] + [10.5, 21.5, 28.5, 19.0, 7.5] + [1.7, 0.6, 0.2, 0.1],
        [0.05, 0.05, 0.1] + [0.3, 0.4, 0.5, 0.6, 0.8, 0.9] + [1.5, 2, 2.5, 3.5]
        + [5, 6, 9, 12, 16] + [20, 14, 4, 0.5, 0.1] + [0.1, 0.05, 0.01, 0.01],
    ]
)  # fmt: skip
GESTATION_CLASS_WORDS = _words(["1", "2", "3", "4", "5", "6", "9", ""])
GESTATION_CLASS = np.searchsorted([22, 28, 32, 37, 42], np.arange(101), side="right").astype(
    np.int16
)
GESTATION_CLASS[BLANK] = 7
MEAN_WEIGHT = np.interp(
    np.arange(100),
    [19, 22, 24, 26, 28, 30, 32, 34, 35, 36, 37, 38, 39, 40, 41, 42],
    [290, 490, 660, 880, 1130, 1450, 1830, 2290, 2550, 2800, 3030, 3210, 3340, 3430, 3490, 3500],
).astype(np.float32)

# First birth, later birth, after a caesarean, multiple, breech or transverse, preterm.
CAESAREAN_ODDS = np.array([1.4, 0.38, 6.0, 6.0, 9.0, 1.3], dtype=np.float32)
NATIONAL_SHARE = 0.57
VISITS = np.arange(21)
VISITS_BY_GROUP = _tables(
    [
        np.where(VISITS == 0, none, 30 * np.exp(-(((VISITS - mean) / 2.7) ** 2) / 2))
        for mean, none in (
            [(6.4, 6), (7.4, 4), (8.4, 2)]  # teenagers by schooling
            + [(7.2, 4), (8.2, 2), (9.6, 0.6)]  # older mothers by schooling
        )
    ]
)
VISITS_CLASS_WORDS = _words(["1", "2", "3", "4", "9", ""])
VISITS_CLASS = np.searchsorted([1, 4, 7], np.arange(101), side="right").astype(np.int8)
VISITS_CLASS[[99, BLANK]] = 4, 5
FIRST_VISIT_MONTH = _table([0, 28, 32, 19, 9, 5, 3, 2, 1, 1])
# Scores 0..10 after one minute, term and preterm, and how much five minutes add.
FIRST_APGAR = _tables(
    [
        [0.05, 0.2, 0.3, 0.5, 0.7, 1.2, 2.4, 7, 36, 50, 1.7],
        [1, 2, 2, 2.5, 3, 4, 6, 14, 37, 28, 0.5],
    ]
)
APGAR_GAIN = _table([30, 58, 10, 2])
# Vaginal births first, caesareans second.
DELIVERY_WORDS = _words(["1", "2", "9", ""])
INDUCED_WORDS = _words(["1", "2", "9", ""])
INDUCED_BY_DELIVERY = _tables([[20, 77, 1.5, 1.5], [6, 91, 1.5, 1.5]])
BEFORE_LABOUR_WORDS = _words(["1", "2", "3", "9", ""])
BEFORE_LABOUR_BY_DELIVERY = _tables([[0, 0, 99, 0, 1], [58, 39, 0, 2, 1]])
ATTENDANT_WORDS = _words(["1", "2", "3", "4", "9", ""])
ATTENDANT_BY_DELIVERY = _tables([[76, 21, 0.5, 1, 0.5, 1], [98.5, 0.4, 0, 0.1, 0.3, 0.7]])
METHOD_WORDS = _words(["8", "1", "2", "9", ""])
METHOD_TABLE = _table([92, 4, 1.5, 2.5])
ROBSON_WORDS = _words([""] + [f"{group:02d}" for group in range(1, 12)])

_MINUTES = np.arange(1440)
_HEAPING = np.where(_MINUTES % 60 == 0, 3, np.where(_MINUTES % 5 == 0, 1.6, 1))
_DAYTIME = np.where((_MINUTES >= 7 * 60) & (_MINUTES < 21 * 60), 3, 1)
TIME_WORDS = _words([f"{minute // 60:02d}{minute % 60:02d}" for minute in range(1440)] + [""])
TIME_BY_DELIVERY = _tables([_HEAPING, _HEAPING * _DAYTIME])
ENTRY_DELAY = _table(np.exp(-np.arange(250) / 25))
RECEIPT_DELAY = _table(np.exp(-np.arange(250) / 30))

ANOMALY = _Codes.of({"1": 0.9, "2": 96.6, "9": 1.2, "": 1.3})
COMMON_ANOMALIES = [
    "Q699", "Q181", "Q690", "Q170", "Q909", "Q660", "Q793", "Q039", "Q211", "Q668", "Q369", "Q549",
    "Q897", "Q359", "Q379", "Q000", "Q541", "Q059", "Q664", "Q709", "Q540", "Q249", "Q742", "Q02",
    "Q913", "Q699Q709", "Q039Q059", "Q211Q909", "Q369Q897", "Q390", "Q423", "Q792", "Q336Q792",
    "Q660Q742Q897",
]  # fmt: skip
ANOMALY_CODES = _Codes.of(
    {code: 1 / rank for rank, code in enumerate(COMMON_ANOMALIES, 4)} | {"": 0}
)
BAD_VALUES = {
    column: _words(values)
    for column, values in {
        "PESO": ["3O50", "ABCD", "32,5", "3 KG"],
        "PARTO": ["7"],
        "SEXO": ["X"],
        "CONSULTAS": ["8"],
        "GESTACAO": ["A"],
    }.items()
}

# Homemaker, student, farm worker and so on lead every year; the rest follow by Zipf's law.
LEADING_OCCUPATIONS = {
    "999992": (44, 30), "": (3, 2.5), "999991": (24, 2), "622020": (5, 4), "612005": (4, 3.5),
    "521110": (2, 6), "411010": (1, 5), "421125": (0.8, 2.5), "998999": (0.7, 0.7),
    "999994": (1, 1), "512105": (0.8, 2.5), "513205": (0.4, 1.5), "516110": (0.3, 1.5),
    "514320": (0.4, 1.8), "231205": (0, 2), "411005": (0.4, 1.8), "223505": (0, 1),
    "322230": (0, 1.2), "241005": (0, 0.9), "225125": (0, 0.6), "999993": (0, 0.1),
}  # fmt: skip


@lru_cache
def _occupations() -> tuple[pa.Array, np.ndarray]:
    """Codes, and one draw table for teenage and one for older mothers."""
    with (REFERENCE / "occupations.csv").open(encoding="utf-8", newline="") as file:
        listed = [
            row["occupation_code"]
            for row in csv.DictReader(file)
            if row["classification"] == "CBO-2002"
        ]
    others = [code for code in listed if code not in LEADING_OCCUPATIONS]
    others = [others[i] for i in np.random.default_rng(0).permutation(len(others))]
    zipf = 1 / np.arange(2, len(others) + 2)
    zipf /= zipf.sum()
    leading = np.array(list(LEADING_OCCUPATIONS.values()))
    teenage, older = np.append(leading[:, 0], zipf * 8), np.append(leading[:, 1], zipf * 26)
    return _words([*LEADING_OCCUPATIONS, *others]), _tables([teenage, older])


# --- places ----------------------------------------------------------------------------------


class _Country(NamedTuple):
    codes: list[str]
    words: pa.Array
    """7-digit codes, then the empty word."""
    birthplace_words: dict[str, pa.Array]
    """CODMUNNATU, CODUFNATU and NATURALMAE, aligned with `words`."""
    real: np.ndarray
    """Positions of the municipalities proper: no `UF00000`."""
    capitals: dict[str, int]
    """State code to position."""


class _State(NamedTuple):
    name: str
    code: str
    region: str
    by_rank: np.ndarray
    """Positions in the country's codes, the capital first, then by falling size."""
    unknown: int
    residence: np.ndarray
    leaves: np.ndarray
    """Share of mothers, by rank of where they live, who give birth in another municipality."""
    hubs: np.ndarray
    first_facility: np.ndarray
    facilities: np.ndarray
    facility_words: pa.Array


@lru_cache
def _country() -> _Country:
    with (REFERENCE / "municipalities.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    codes = [row["municipality_code"] for row in rows]
    capitals = {row["state_code"]: i for i, row in enumerate(rows) if row["is_capital"] == "1"}
    real = np.array([i for i, code in enumerate(codes) if not code.endswith("00000")])
    birthplace = {
        "CODMUNNATU": _words([code[:6] for code in codes] + [""]),
        "CODUFNATU": _words([code[:2] for code in codes] + [""]),
        "NATURALMAE": _words([f"8{code[:2]}" for code in codes] + [""]),
    }
    return _Country(codes, _words([*codes, ""]), birthplace, real, capitals)


@lru_cache(maxsize=64)
def _state(name: str, seed: int) -> _State:
    with (REFERENCE / "states.csv").open(encoding="utf-8", newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["state_abbreviation"] == name)
    code = row["state_code"]
    country = _country()
    rng = np.random.default_rng([seed, int(code)])
    capital = country.capitals[code]
    others = [i for i in country.real if country.codes[i].startswith(code) and i != capital]
    by_rank = np.array([capital, *rng.permutation(others)]).astype(np.uint16)

    rank = np.arange(1, len(by_rank) + 1)
    size = 1 / rank**1.05
    size /= size.sum()
    # Nobody leaves the capital, nearly all leave the smallest: about a quarter of all mothers.
    leaves = 0.95 * ((rank - 1) / len(rank)) ** 0.55
    hubs = np.where(rank <= max(2, len(rank) // 5), size, 0)
    facilities = np.clip(np.rint(30 * (size / size[0]) ** 0.7), 1, 30).astype(np.int32)
    # A block of codes per state keeps facility codes unique in the country.
    numbers = 2_000_000 + int(code) * 50_000 + rng.permutation(50_000)[: facilities.sum()]
    return _State(
        name,
        code,
        row["region_code"],
        by_rank,
        country.codes.index(code + "00000"),
        _table(size),
        leaves.astype(np.float32),
        _table(hubs),
        np.concatenate([[0], np.cumsum(facilities)[:-1]]).astype(np.int32),
        facilities,
        _words([*map(str, numbers), ""]),
    )


# --- days ------------------------------------------------------------------------------------


class _Year(NamedTuple):
    first: int
    """Position of 1 January in `words`."""
    days: int
    words: pa.Array
    """DDMMYYYY from 60 years earlier until two years later, then the empty word."""
    birth_words: pa.Array
    """`words`, then the same without a leading zero, then unreadable dates."""
    lots: pa.Array
    by_delivery: np.ndarray
    """Draw tables of days of the year: vaginal births, caesareans."""


UNREADABLE_DATES = ("3102{year}", "00000000", "ABCDEFGH", "")
MONTHS = np.array([1.0, 1.02, 1.08, 1.07, 1.07, 1.01, 0.98, 0.97, 0.98, 0.94, 0.92, 0.93])
WEEKDAYS = np.array([[1.02, 1.03, 1.03, 1.02, 1.02, 0.95, 0.93],
                     [1.16, 1.19, 1.17, 1.16, 1.13, 0.68, 0.51]])  # fmt: skip


@lru_cache(maxsize=4)
def _year(year: int) -> _Year:
    start, end = dt.date(year - 60, 1, 1), dt.date(year + 3, 1, 1)
    every = [dt.date.fromordinal(day) for day in range(start.toordinal(), end.toordinal())]
    words = [f"{day.day:02d}{day.month:02d}{day.year:04d}" for day in every] + [""]
    inside = [day for day in every if day.year == year]
    month = MONTHS[[day.month - 1 for day in inside]]
    weekday = WEEKDAYS[:, [day.weekday() for day in inside]]
    return _Year(
        dt.date(year, 1, 1).toordinal() - start.toordinal(),
        len(inside),
        _words(words),
        _words(
            words
            + [word.removeprefix("0") for word in words]
            + [word.format(year=year) for word in UNREADABLE_DATES]
        ),
        _words([f"{y}{lot:04d}" for y in (year, year + 1) for lot in range(1, 25)]),
        _tables(month * weekday),
    )


# --- records ---------------------------------------------------------------------------------


class _Pregnancy(NamedTuple):
    """What later draws depend on; numbers per birth, true even where the file says unknown."""

    age: np.ndarray
    weeks: np.ndarray
    multiple: np.ndarray
    preterm: np.ndarray
    caesarean: np.ndarray
    dated_by_period: np.ndarray


def _records(draw: _Draw, state: _State, year: int, bad_share: float) -> Columns:
    columns = {name: _text(c.words, draw.pick(c.table)) for name, c in INDEPENDENT.items()}
    columns["UFINFORM"] = pa.array([state.code]).take(pa.array(np.zeros(draw.n, np.uint8)))
    residence = _add_places(columns, draw, state)
    age, schooling = _add_mother(columns, draw, state, residence)
    pregnancy = _add_pregnancy(columns, draw, state, age)
    _add_prenatal_care(columns, draw, age, schooling)
    _add_child(columns, draw, pregnancy)
    _add_dates(columns, draw, _year(year), pregnancy, bad_share)
    _damage(columns, draw, bad_share / 2)
    return columns


def _add_places(columns: Columns, draw: _Draw, state: _State) -> np.ndarray:
    """Returns where the mother lives, as a position in the country's codes."""
    lives = draw.pick(state.residence)
    leaves = draw.happens(state.leaves.take(lives))
    born = np.where(leaves, draw.pick(state.hubs), lives)
    place = draw.pick(BIRTH_PLACE.table)
    columns["LOCNASC"] = _text(BIRTH_PLACE.words, place)
    # Squared, so that a municipality's first facility takes far more births than its last.
    nth = (draw.bits() / np.float32(LEVELS)) ** 2 * state.facilities.take(born)
    facility = state.first_facility.take(born) + nth.astype(np.int32)
    outside = len(state.facility_words) - 1
    facility = np.where(place <= OTHER_FACILITY, facility, outside)
    columns["CODESTAB"] = _text(state.facility_words, facility)

    born, residence = state.by_rank.take(born), state.by_rank.take(lives)
    born[draw.rows(0.0005)] = state.unknown
    visitors = draw.rows(0.006)
    residence[visitors] = draw.rng.choice(_country().real, len(visitors))
    columns["CODMUNNASC"] = _text(_country().words, born)
    living = residence.copy()
    living[draw.rows(0.0005)] = state.unknown
    columns["CODMUNRES"] = _text(_country().words, living)
    return residence


def _add_mother(
    columns: Columns, draw: _Draw, state: _State, residence: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns her age in years and the position of her schooling."""
    age = AGES.astype(np.int16).take(draw.pick(AGE_TABLE))
    group = AGE_GROUP.take(age)
    columns["IDADEMAE"] = _text(TWO_DIGITS, draw.with_unknown(age, {99: 0.0005, BLANK: 0.0005}))
    columns["ESTCIVMAE"] = _text(MARITAL_WORDS, draw.pick_by(MARITAL_BY_AGE, group))
    schooling = draw.pick_by(SCHOOLING_BY_AGE, group)
    for column, words in SCHOOLING_WORDS.items():
        columns[column] = _text(words, schooling)
    occupations, tables = _occupations()
    columns["CODOCUPMAE"] = _text(occupations, draw.pick_by(tables, (group > 0).astype(np.int32)))

    race = draw.pick(RACE_BY_REGION[state.region])
    columns["RACACORMAE"] = _text(RACE_WORDS, race)
    columns["RACACOR"] = _text(RACE_WORDS, draw.with_unknown(race, {6: 0.01}))

    born_elsewhere = state.by_rank.take(draw.pick(state.residence))
    birthplace = np.where(draw.happens(0.65), residence, born_elsewhere)
    abroad = draw.rows(0.06)
    birthplace[abroad] = draw.rng.choice(_country().real, len(abroad))
    birthplace[draw.rows(0.015)] = len(_country().codes)
    for column, words in _country().birthplace_words.items():
        columns[column] = _text(words, birthplace)

    father = np.clip(age + draw.rng.normal(3.5, 5, draw.n), 12, 80).astype(np.int16)
    columns["IDADEPAI"] = _text(TWO_DIGITS, np.where(draw.happens(0.55), BLANK, father))
    return age, schooling


def _add_pregnancy(columns: Columns, draw: _Draw, state: _State, age: np.ndarray) -> _Pregnancy:
    earlier = draw.pick_by(EARLIER_BIRTHS_BY_AGE, AGE_GROUP.take(age))
    caesareans = draw.pick_by(EARLIER_CAESAREANS, earlier)
    losses = draw.pick(LOSSES)
    unknown = {99: 0.005, BLANK: 0.015}
    for column, number in {
        "QTDFILVIVO": earlier,
        "QTDFILMORT": losses,
        "QTDGESTANT": earlier + losses,
        "QTDPARTNOR": earlier - caesareans,
        "QTDPARTCES": caesareans,
    }.items():
        columns[column] = _text(TWO_DIGITS, draw.with_unknown(number, unknown))
    columns["PARIDADE"] = _text(DIGITS, (earlier > 0).view(np.uint8))

    plurality = draw.pick(PLURALITY.table)
    multiple = (plurality > SINGLE) & (plurality < PLURAL_UNKNOWN)
    columns["GRAVIDEZ"] = _text(PLURALITY.words, plurality)
    presentation = draw.pick(PRESENTATION.table)
    columns["TPAPRESENT"] = _text(PRESENTATION.words, presentation)
    weeks = WEEKS.astype(np.int16).take(draw.pick_by(WEEKS_TABLES, multiple))
    preterm = weeks < 37

    kind = np.where(caesareans > 0, 2, (earlier > 0).view(np.uint8))
    kind[preterm & (kind < 2)] = 5
    kind[(presentation == 1) | (presentation == 2)] = 4
    kind[multiple] = 3
    share = CAESAREAN_SHARE[state.name]
    odds = CAESAREAN_ODDS * share / (1 - share) * (1 - NATIONAL_SHARE) / NATIONAL_SHARE
    caesarean = draw.happens((odds / (1 + odds)).take(kind))
    columns["PARTO"] = _text(DELIVERY_WORDS, draw.with_unknown(caesarean, {2: 0.0005, 3: 0.0005}))

    induced = draw.pick_by(INDUCED_BY_DELIVERY, caesarean)
    columns["STTRABPART"] = _text(INDUCED_WORDS, induced)
    before_labour = draw.pick_by(BEFORE_LABOUR_BY_DELIVERY, caesarean)
    columns["STCESPARTO"] = _text(BEFORE_LABOUR_WORDS, before_labour)
    attendant = draw.pick_by(ATTENDANT_BY_DELIVERY, caesarean)
    columns["TPNASCASSI"] = _text(ATTENDANT_WORDS, attendant)

    unmeasured = draw.rows(0.015)
    method = draw.pick(METHOD_TABLE)
    method[unmeasured] = 4
    measured = weeks.copy()
    measured[unmeasured] = BLANK
    columns["TPMETESTIM"] = _text(METHOD_WORDS, method)
    columns["SEMAGESTAC"] = _text(TWO_DIGITS, measured)
    # The class is sometimes unknown where the weeks are not.
    classes = draw.with_unknown(GESTATION_CLASS.take(measured), {6: 0.002, 7: 0.003})
    columns["GESTACAO"] = _text(GESTATION_CLASS_WORDS, classes)

    group = np.where(earlier == 0, 1, 3) + ((induced == 0) | (before_labour == 0))
    group[caesareans > 0] = 5
    group[preterm] = 10
    group[presentation == 1] = np.where(earlier[presentation == 1] == 0, 6, 7)
    group[presentation == 2] = 9
    group[multiple] = 8
    unclassified = (presentation > 2) | (plurality >= PLURAL_UNKNOWN) | (measured == BLANK)
    group[unclassified | (induced > 1) | (before_labour > 2)] = 11
    columns["TPROBSON"] = _text(ROBSON_WORDS, group)
    return _Pregnancy(age, weeks, multiple, preterm, caesarean, method == 0)


def _add_prenatal_care(
    columns: Columns, draw: _Draw, age: np.ndarray, schooling: np.ndarray
) -> None:
    group = SCHOOLING_GROUP.take(schooling) + 3 * (age >= 20)
    visits = draw.pick_by(VISITS_BY_GROUP, group)
    month = draw.pick(FIRST_VISIT_MONTH).astype(np.int16)
    month[visits == 0] = BLANK
    visits = draw.with_unknown(visits, {99: 0.006, BLANK: 0.008})
    month = draw.with_unknown(month, {99: 0.015, BLANK: 0.015})
    columns["CONSPRENAT"] = _text(TWO_DIGITS, visits)
    columns["MESPRENAT"] = _text(TWO_DIGITS, month)
    columns["CONSULTAS"] = _text(VISITS_CLASS_WORDS, VISITS_CLASS.take(visits))

    kotelchuck = np.where(visits < 6, 3, np.where(visits == 6, 4, 5))
    kotelchuck[(month > 3) | (visits < 3)] = 2
    kotelchuck[(month >= 99) | (visits >= 99)] = 9
    kotelchuck[visits == 0] = 1
    columns["KOTELCHUCK"] = _text(DIGITS, kotelchuck)


def _add_child(columns: Columns, draw: _Draw, pregnancy: _Pregnancy) -> None:
    spread = 1 + 0.128 * draw.rng.standard_normal(draw.n, dtype=np.float32)
    grams = MEAN_WEIGHT.take(pregnancy.weeks) * spread * np.where(pregnancy.multiple, 0.88, 1)
    grams = np.clip(np.rint(grams / 5) * 5, 200, 6500)
    columns["PESO"] = _text(
        GRAMS, draw.with_unknown(grams, {0: 0.0005, 9999: 0.0005, 10_000: 0.003})
    )

    first = draw.pick_by(FIRST_APGAR, pregnancy.preterm)
    fifth = np.minimum(first + draw.pick(APGAR_GAIN), 10)
    untested = draw.rows(0.012)
    for column, score in {"APGAR1": first, "APGAR5": fifth}.items():
        score[untested] = BLANK
        columns[column] = _text(TWO_DIGITS, draw.with_unknown(score, {99: 0.0005, BLANK: 0.002}))

    anomaly = draw.pick(ANOMALY.table)
    columns["IDANOMAL"] = _text(ANOMALY.words, anomaly)
    no_code = len(ANOMALY_CODES.words) - 1
    codes = np.where(anomaly == 0, draw.pick(ANOMALY_CODES.table), no_code)
    columns["CODANOMAL"] = _text(ANOMALY_CODES.words, codes)


def _add_dates(
    columns: Columns, draw: _Draw, year: _Year, pregnancy: _Pregnancy, bad_share: float
) -> None:
    born = year.first + draw.pick_by(year.by_delivery, pregnancy.caesarean).astype(np.int32)
    entered = born + 1 + draw.pick(ENTRY_DELAY)
    received = entered + 3 + draw.pick(RECEIPT_DELAY)
    declared = born + (draw.bits() & 3)
    mother = born - (pregnancy.age * 365.25).astype(np.int32) - draw.bits() % 365
    last_period = born - pregnancy.weeks * 7 - draw.bits() % 7
    blank = len(year.words) - 1
    last_period = np.where(pregnancy.dated_by_period, last_period, blank)
    for column, day in {"DTDECLARAC": declared, "DTNASCMAE": mother}.items():
        columns[column] = _text(year.words, draw.with_unknown(day, {blank: 0.008}))
    for column, day in {
        "DTCADASTRO": entered, "DTRECEBIM": received, "DTULTMENST": last_period
    }.items():  # fmt: skip
        columns[column] = _text(year.words, day)
    columns["DIFDATA"] = _text(THREE_DIGITS, received - born)
    columns["NUMEROLOTE"] = _text(year.lots, (entered - year.first) * 24 // year.days)
    columns["HORANASC"] = _text(
        TIME_WORDS,
        draw.with_unknown(draw.pick_by(TIME_BY_DELIVERY, pregnancy.caesarean), {1440: 0.003}),
    )

    written = born.copy()
    written[draw.rows(0.003)] += len(year.words)  # a third of them start with a zero to lose
    bad = draw.rows(bad_share / 2)
    unreadable = 2 * len(year.words) + draw.rng.integers(0, len(UNREADABLE_DATES), len(bad))
    distance = draw.rng.integers(1, 300, len(bad))
    year_before, year_after = year.first - distance, year.first + year.days + distance
    kind = draw.rng.integers(0, 6, len(bad))
    written[bad] = np.where(kind < 4, unreadable, np.where(kind == 4, year_before, year_after))
    columns["DTNASC"] = _text(year.birth_words, written)


def _damage(columns: Columns, draw: _Draw, share: float) -> None:
    """Half of the damage is in weights, the rest spread over codes."""
    for column, words in BAD_VALUES.items():
        part = share / 2 if column == "PESO" else share / 2 / (len(BAD_VALUES) - 1)
        rows = draw.rows(part)
        mask = np.zeros(draw.n, dtype=bool)
        mask[rows] = True
        values = _text(words, draw.rng.integers(0, len(words), len(rows)))
        columns[column] = pc.replace_with_mask(columns[column], pa.array(mask), values)
