"""Published shares and totals that shape the sample: who gives birth, how, with what outcome.

Belongs here: numbers, and the tables that draws look them up in.
Does not belong here: putting a record together (``records.py``). No record is copied from a file.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import pyarrow as pa

from analytics_assets.domains.births.sample.draw import Codes, as_words, table, tables
from analytics_assets.domains.births.sample.places import REFERENCE

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

BLANK = 100
"""Index of the empty word after the two-digit numbers 00..99."""
TWO_DIGITS = as_words([f"{number:02d}" for number in range(100)] + [""])
THREE_DIGITS = as_words([f"{number:03d}" for number in range(1000)])
DIGITS = as_words([str(number) for number in range(10)])
GRAMS = as_words([f"{number:04d}" for number in range(10_000)] + [""])

SHARES: dict[str, Mapping[str, float]] = {
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
INDEPENDENT = {column: Codes.of(shares) for column, shares in SHARES.items()}
OTHER_FACILITY, BORN_AT_HOME = 1, 2
# Most births at home are where there is no facility, and come on top of these.
BIRTH_PLACE = Codes.of({"1": 98.8, "2": 0.5, "3": 0.2, "4": 0.2, "5": 0.2, "9": 0.1})

# Teenage, 20 to 34, 35 and older: the groups that the tables "by age" below follow.
AGES = np.arange(12, 50)
AGE_TABLE = table(np.exp(-(((AGES - 25) / np.where(AGES < 25, 5.3, 7.8)) ** 2) / 2))
AGE_GROUP = np.where(np.arange(100) < 20, 0, np.where(np.arange(100) < 35, 1, 2)).astype(np.uint8)
MARITAL_WORDS = as_words(["1", "2", "3", "4", "5", "9", ""])
MARITAL_BY_AGE = tables(
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
    column: as_words([str(row[number]) for row in SCHOOLING])
    for number, column in enumerate(("ESCMAE", "ESCMAE2010", "ESCMAEAGR1", "SERIESCMAE"))
}
SCHOOLING_GROUP = np.array([row[4] for row in SCHOOLING], dtype=np.uint8)
SCHOOLING_BY_AGE = tables([[row[5][group] for row in SCHOOLING] for group in range(3)])
RACE_WORDS = as_words(["1", "2", "3", "4", "5", "9", ""])
RACE_BY_REGION = {
    "1": table([15, 4, 0.3, 77, 3, 0.1, 1.5]),
    "2": table([18, 6, 0.4, 73, 0.5, 0.1, 2]),
    "3": table([45, 9, 0.5, 44, 0.1, 0.1, 1.3]),
    "4": table([80, 5, 0.3, 13, 0.4, 0.1, 1.2]),
    "5": table([32, 5, 0.6, 60, 1.5, 0.1, 1.5]),
}

EARLIER_BIRTHS_BY_AGE = tables(
    [
        [82, 15, 2.5, 0.5],
        [40, 33, 16, 6.5, 2.5, 1, 0.5, 0.3, 0.1, 0.1],
        [20, 35, 23, 11, 5, 3, 1.5, 0.8, 0.4, 0.2, 0.1],
    ]
)
# Earlier caesareans among 0..10 earlier births: all or none far oftener than chance would have it.
EARLIER_CAESAREANS = tables(
    [
        [0.55 + 0.45 * (total == 0)]
        + [0.10] * max(min(total, 4) - 1, 0)
        + [0.38] * (0 < total <= 4)
        for total in range(11)
    ]
)
LOSSES = table([83, 13, 3, 0.7, 0.2, 0.1])
SINGLE, PLURAL_UNKNOWN = 0, 3
PLURALITY = Codes.of({"1": 97.65, "2": 2.14, "3": 0.06, "9": 0.05, "": 0.1})
PRESENTATION = Codes.of({"1": 95.3, "2": 3.2, "3": 0.4, "9": 0.6, "": 0.5})

WEEKS = np.arange(19, 46)
WEEKS_TABLES = tables(
    [
        # 19-21, 22-27, 28-31, 32-36, 37-41 and 42-45 weeks
        [0.01, 0.01, 0.02] + [0.05, 0.06, 0.08, 0.09, 0.1, 0.12] + [0.17, 0.2, 0.27, 0.34]
        + [0.5, 0.7, 1.3, 2.2, 4.0] + [10.5, 21.5, 28.5, 19.0, 7.5] + [1.7, 0.6, 0.2, 0.1],
        [0.05, 0.05, 0.1] + [0.3, 0.4, 0.5, 0.6, 0.8, 0.9] + [1.5, 2, 2.5, 3.5]
        + [5, 6, 9, 12, 16] + [20, 14, 4, 0.5, 0.1] + [0.1, 0.05, 0.01, 0.01],
    ]
)  # fmt: skip
GESTATION_CLASS_WORDS = as_words(["1", "2", "3", "4", "5", "6", "9", ""])
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
VISITS_BY_GROUP = tables(
    [
        np.where(VISITS == 0, none, 30 * np.exp(-(((VISITS - mean) / 2.7) ** 2) / 2))
        for mean, none in (
            [(6.4, 6), (7.4, 4), (8.4, 2)]  # teenagers by schooling
            + [(7.2, 4), (8.2, 2), (9.6, 0.6)]  # older mothers by schooling
        )
    ]
)
VISITS_CLASS_WORDS = as_words(["1", "2", "3", "4", "9", ""])
VISITS_CLASS = np.searchsorted([1, 4, 7], np.arange(101), side="right").astype(np.int8)
VISITS_CLASS[[99, BLANK]] = 4, 5
FIRST_VISIT_MONTH = table([0, 28, 32, 19, 9, 5, 3, 2, 1, 1])
# Scores 0..10 after one minute, term and preterm, and how much five minutes add.
FIRST_APGAR = tables(
    [
        [0.05, 0.2, 0.3, 0.5, 0.7, 1.2, 2.4, 7, 36, 50, 1.7],
        [1, 2, 2, 2.5, 3, 4, 6, 14, 37, 28, 0.5],
    ]
)
APGAR_GAIN = table([30, 58, 10, 2])
# Vaginal births first, caesareans second.
DELIVERY_WORDS = as_words(["1", "2", "9", ""])
INDUCED_WORDS = as_words(["1", "2", "9", ""])
INDUCED_BY_DELIVERY = tables([[20, 77, 1.5, 1.5], [6, 91, 1.5, 1.5]])
BEFORE_LABOUR_WORDS = as_words(["1", "2", "3", "9", ""])
BEFORE_LABOUR_BY_DELIVERY = tables([[0, 0, 99, 0, 1], [58, 39, 0, 2, 1]])
ATTENDANT_WORDS = as_words(["1", "2", "3", "4", "9", ""])
ATTENDANT_BY_DELIVERY = tables([[76, 21, 0.5, 1, 0.5, 1], [98.5, 0.4, 0, 0.1, 0.3, 0.7]])
METHOD_WORDS = as_words(["8", "1", "2", "9", ""])
METHOD_TABLE = table([92, 4, 1.5, 2.5])
ROBSON_WORDS = as_words([""] + [f"{group:02d}" for group in range(1, 12)])

MINUTES = np.arange(1440)
HEAPING = np.where(MINUTES % 60 == 0, 3, np.where(MINUTES % 5 == 0, 1.6, 1))
DAYTIME = np.where((MINUTES >= 7 * 60) & (MINUTES < 21 * 60), 3, 1)
TIME_WORDS = as_words([f"{minute // 60:02d}{minute % 60:02d}" for minute in range(1440)] + [""])
TIME_BY_DELIVERY = tables([HEAPING, HEAPING * DAYTIME])
ENTRY_DELAY = table(np.exp(-np.arange(250) / 25))
RECEIPT_DELAY = table(np.exp(-np.arange(250) / 30))

ANOMALY = Codes.of({"1": 0.9, "2": 96.6, "9": 1.2, "": 1.3})
COMMON_ANOMALIES = [
    "Q699", "Q181", "Q690", "Q170", "Q909", "Q660", "Q793", "Q039", "Q211", "Q668", "Q369", "Q549",
    "Q897", "Q359", "Q379", "Q000", "Q541", "Q059", "Q664", "Q709", "Q540", "Q249", "Q742", "Q02",
    "Q913", "Q699Q709", "Q039Q059", "Q211Q909", "Q369Q897", "Q390", "Q423", "Q792", "Q336Q792",
    "Q660Q742Q897",
]  # fmt: skip
ANOMALY_CODES = Codes.of(
    {code: 1 / rank for rank, code in enumerate(COMMON_ANOMALIES, 4)} | {"": 0}
)
BAD_VALUES = {
    column: as_words(values)
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
def load_occupations() -> tuple[pa.Array, np.ndarray]:
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
    return as_words([*LEADING_OCCUPATIONS, *others]), tables([teenage, older])
