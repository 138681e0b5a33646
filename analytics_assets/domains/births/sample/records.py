"""The sample's records: columns of births that hang together, some of them damaged.

Belongs here: drawing the columns of one chunk of births of a state and year.
Does not belong here: files and layouts (``layouts.py``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics_assets.domains.births.sample.draw import LEVELS, Columns, Draw, as_text
from analytics_assets.domains.births.sample.places import (
    UNREADABLE_DATES,
    State,
    Year,
    load_country,
    load_year,
)
from analytics_assets.domains.births.sample.shares import (
    AGE_GROUP,
    AGE_TABLE,
    AGES,
    ANOMALY,
    ANOMALY_CODES,
    APGAR_GAIN,
    ATTENDANT_BY_DELIVERY,
    ATTENDANT_WORDS,
    BAD_VALUES,
    BEFORE_LABOUR_BY_DELIVERY,
    BEFORE_LABOUR_WORDS,
    BIRTH_PLACE,
    BLANK,
    BORN_AT_HOME,
    CAESAREAN_ODDS,
    CAESAREAN_SHARE,
    DELIVERY_WORDS,
    DIGITS,
    EARLIER_BIRTHS_BY_AGE,
    EARLIER_CAESAREANS,
    ENTRY_DELAY,
    FIRST_APGAR,
    FIRST_VISIT_MONTH,
    GESTATION_CLASS,
    GESTATION_CLASS_WORDS,
    GRAMS,
    INDEPENDENT,
    INDUCED_BY_DELIVERY,
    INDUCED_WORDS,
    LOSSES,
    MARITAL_BY_AGE,
    MARITAL_WORDS,
    MEAN_WEIGHT,
    METHOD_TABLE,
    METHOD_WORDS,
    NATIONAL_SHARE,
    OTHER_FACILITY,
    PLURAL_UNKNOWN,
    PLURALITY,
    PRESENTATION,
    RACE_BY_REGION,
    RACE_WORDS,
    RECEIPT_DELAY,
    ROBSON_WORDS,
    SCHOOLING_BY_AGE,
    SCHOOLING_GROUP,
    SCHOOLING_WORDS,
    SINGLE,
    THREE_DIGITS,
    TIME_BY_DELIVERY,
    TIME_WORDS,
    TWO_DIGITS,
    VISITS_BY_GROUP,
    VISITS_CLASS,
    VISITS_CLASS_WORDS,
    WEEKS,
    WEEKS_TABLES,
    load_occupations,
)


class Pregnancy(NamedTuple):
    """What later draws depend on; numbers per birth, true even where the file says unknown."""

    age: np.ndarray
    weeks: np.ndarray
    multiple: np.ndarray
    preterm: np.ndarray
    caesarean: np.ndarray
    dated_by_period: np.ndarray


def draw_records(draw: Draw, state: State, year: int, bad_share: float) -> Columns:
    columns = {name: as_text(c.words, draw.pick(c.table)) for name, c in INDEPENDENT.items()}
    columns["UFINFORM"] = pa.array([state.code]).take(pa.array(np.zeros(draw.n, np.uint8)))
    residence = add_places(columns, draw, state)
    age, schooling = add_mother(columns, draw, state, residence)
    pregnancy = add_pregnancy(columns, draw, state, age)
    add_prenatal_care(columns, draw, age, schooling)
    add_child(columns, draw, pregnancy)
    add_dates(columns, draw, load_year(year), pregnancy, bad_share)
    damage(columns, draw, bad_share / 2)
    return columns


def add_places(columns: Columns, draw: Draw, state: State) -> np.ndarray:
    """Returns where the mother lives, as a position in the country's codes."""
    lives = draw.pick(state.residence)
    leaves = draw.happens(state.leaves.take(lives))
    born = np.where(leaves, draw.pick(state.hubs), lives)
    place = np.where(state.facilities.take(born) > 0, draw.pick(BIRTH_PLACE.table), BORN_AT_HOME)
    columns["LOCNASC"] = as_text(BIRTH_PLACE.words, place)
    # Squared, so that a municipality's first facility takes far more births than its last.
    nth = (draw.bits() / np.float32(LEVELS)) ** 2 * state.facilities.take(born)
    facility = state.first_facility.take(born) + nth.astype(np.int32)
    outside = len(state.facility_words) - 1
    facility = np.where(place <= OTHER_FACILITY, facility, outside)
    columns["CODESTAB"] = as_text(state.facility_words, facility)

    born, residence = state.by_rank.take(born), state.by_rank.take(lives)
    born[draw.rows(0.0005)] = state.unknown
    visitors = draw.rows(0.006)
    residence[visitors] = draw.rng.choice(load_country().real, len(visitors))
    columns["CODMUNNASC"] = as_text(load_country().words, born)
    living = residence.copy()
    living[draw.rows(0.0005)] = state.unknown
    columns["CODMUNRES"] = as_text(load_country().words, living)
    return residence


def add_mother(
    columns: Columns, draw: Draw, state: State, residence: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns her age in years and the position of her schooling."""
    age = AGES.astype(np.int16).take(draw.pick(AGE_TABLE))
    group = AGE_GROUP.take(age)
    columns["IDADEMAE"] = as_text(TWO_DIGITS, draw.with_unknown(age, {99: 0.0005, BLANK: 0.0005}))
    columns["ESTCIVMAE"] = as_text(MARITAL_WORDS, draw.pick_by(MARITAL_BY_AGE, group))
    schooling = draw.pick_by(SCHOOLING_BY_AGE, group)
    for column, words in SCHOOLING_WORDS.items():
        columns[column] = as_text(words, schooling)
    occupations, tables = load_occupations()
    columns["CODOCUPMAE"] = as_text(occupations, draw.pick_by(tables, (group > 0).astype(np.int32)))

    race = draw.pick(RACE_BY_REGION[state.region])
    columns["RACACORMAE"] = as_text(RACE_WORDS, race)
    columns["RACACOR"] = as_text(RACE_WORDS, draw.with_unknown(race, {6: 0.01}))

    born_elsewhere = state.by_rank.take(draw.pick(state.residence))
    birthplace = np.where(draw.happens(0.65), residence, born_elsewhere)
    abroad = draw.rows(0.06)
    birthplace[abroad] = draw.rng.choice(load_country().real, len(abroad))
    birthplace[draw.rows(0.015)] = len(load_country().codes)
    for column, words in load_country().birthplace_words.items():
        columns[column] = as_text(words, birthplace)

    father = np.clip(age + draw.rng.normal(3.5, 5, draw.n), 12, 80).astype(np.int16)
    columns["IDADEPAI"] = as_text(TWO_DIGITS, np.where(draw.happens(0.55), BLANK, father))
    return age, schooling


def add_pregnancy(columns: Columns, draw: Draw, state: State, age: np.ndarray) -> Pregnancy:
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
        columns[column] = as_text(TWO_DIGITS, draw.with_unknown(number, unknown))
    columns["PARIDADE"] = as_text(DIGITS, (earlier > 0).view(np.uint8))

    plurality = draw.pick(PLURALITY.table)
    multiple = (plurality > SINGLE) & (plurality < PLURAL_UNKNOWN)
    columns["GRAVIDEZ"] = as_text(PLURALITY.words, plurality)
    presentation = draw.pick(PRESENTATION.table)
    columns["TPAPRESENT"] = as_text(PRESENTATION.words, presentation)
    weeks = WEEKS.astype(np.int16).take(draw.pick_by(WEEKS_TABLES, multiple))
    preterm = weeks < 37

    kind = np.where(caesareans > 0, 2, (earlier > 0).view(np.uint8))
    kind[preterm & (kind < 2)] = 5
    kind[(presentation == 1) | (presentation == 2)] = 4
    kind[multiple] = 3
    share = CAESAREAN_SHARE[state.name]
    odds = CAESAREAN_ODDS * share / (1 - share) * (1 - NATIONAL_SHARE) / NATIONAL_SHARE
    caesarean = draw.happens((odds / (1 + odds)).take(kind))
    columns["PARTO"] = as_text(DELIVERY_WORDS, draw.with_unknown(caesarean, {2: 0.0005, 3: 0.0005}))

    induced = draw.pick_by(INDUCED_BY_DELIVERY, caesarean)
    columns["STTRABPART"] = as_text(INDUCED_WORDS, induced)
    before_labour = draw.pick_by(BEFORE_LABOUR_BY_DELIVERY, caesarean)
    columns["STCESPARTO"] = as_text(BEFORE_LABOUR_WORDS, before_labour)
    attendant = draw.pick_by(ATTENDANT_BY_DELIVERY, caesarean)
    columns["TPNASCASSI"] = as_text(ATTENDANT_WORDS, attendant)

    unmeasured = draw.rows(0.015)
    method = draw.pick(METHOD_TABLE)
    method[unmeasured] = 4
    measured = weeks.copy()
    measured[unmeasured] = BLANK
    columns["TPMETESTIM"] = as_text(METHOD_WORDS, method)
    columns["SEMAGESTAC"] = as_text(TWO_DIGITS, measured)
    # The class is sometimes unknown where the weeks are not.
    classes = draw.with_unknown(GESTATION_CLASS.take(measured), {6: 0.002, 7: 0.003})
    columns["GESTACAO"] = as_text(GESTATION_CLASS_WORDS, classes)

    group = np.where(earlier == 0, 1, 3) + ((induced == 0) | (before_labour == 0))
    group[caesareans > 0] = 5
    group[preterm] = 10
    group[presentation == 1] = np.where(earlier[presentation == 1] == 0, 6, 7)
    group[presentation == 2] = 9
    group[multiple] = 8
    unclassified = (presentation > 2) | (plurality >= PLURAL_UNKNOWN) | (measured == BLANK)
    group[unclassified | (induced > 1) | (before_labour > 2)] = 11
    columns["TPROBSON"] = as_text(ROBSON_WORDS, group)
    return Pregnancy(age, weeks, multiple, preterm, caesarean, method == 0)


def add_prenatal_care(columns: Columns, draw: Draw, age: np.ndarray, schooling: np.ndarray) -> None:
    group = SCHOOLING_GROUP.take(schooling) + 3 * (age >= 20)
    visits = draw.pick_by(VISITS_BY_GROUP, group)
    month = draw.pick(FIRST_VISIT_MONTH).astype(np.int16)
    month[visits == 0] = BLANK
    visits = draw.with_unknown(visits, {99: 0.006, BLANK: 0.008})
    month = draw.with_unknown(month, {99: 0.015, BLANK: 0.015})
    columns["CONSPRENAT"] = as_text(TWO_DIGITS, visits)
    columns["MESPRENAT"] = as_text(TWO_DIGITS, month)
    columns["CONSULTAS"] = as_text(VISITS_CLASS_WORDS, VISITS_CLASS.take(visits))

    kotelchuck = np.where(visits < 6, 3, np.where(visits == 6, 4, 5))
    kotelchuck[(month > 3) | (visits < 3)] = 2
    kotelchuck[(month >= 99) | (visits >= 99)] = 9
    kotelchuck[visits == 0] = 1
    columns["KOTELCHUCK"] = as_text(DIGITS, kotelchuck)


def add_child(columns: Columns, draw: Draw, pregnancy: Pregnancy) -> None:
    spread = 1 + 0.128 * draw.rng.standard_normal(draw.n, dtype=np.float32)
    grams = MEAN_WEIGHT.take(pregnancy.weeks) * spread * np.where(pregnancy.multiple, 0.88, 1)
    grams = np.clip(np.rint(grams / 5) * 5, 200, 6500)
    columns["PESO"] = as_text(
        GRAMS, draw.with_unknown(grams, {0: 0.0005, 9999: 0.0005, 10_000: 0.003})
    )

    first = draw.pick_by(FIRST_APGAR, pregnancy.preterm)
    fifth = np.minimum(first + draw.pick(APGAR_GAIN), 10)
    untested = draw.rows(0.012)
    for column, score in {"APGAR1": first, "APGAR5": fifth}.items():
        score[untested] = BLANK
        columns[column] = as_text(TWO_DIGITS, draw.with_unknown(score, {99: 0.0005, BLANK: 0.002}))

    anomaly = draw.pick(ANOMALY.table)
    columns["IDANOMAL"] = as_text(ANOMALY.words, anomaly)
    no_code = len(ANOMALY_CODES.words) - 1
    codes = np.where(anomaly == 0, draw.pick(ANOMALY_CODES.table), no_code)
    columns["CODANOMAL"] = as_text(ANOMALY_CODES.words, codes)


def add_dates(
    columns: Columns, draw: Draw, year: Year, pregnancy: Pregnancy, bad_share: float
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
        columns[column] = as_text(year.words, draw.with_unknown(day, {blank: 0.008}))
    for column, day in {
        "DTCADASTRO": entered, "DTRECEBIM": received, "DTULTMENST": last_period
    }.items():  # fmt: skip
        columns[column] = as_text(year.words, day)
    columns["DIFDATA"] = as_text(THREE_DIGITS, received - born)
    columns["NUMEROLOTE"] = as_text(year.lots, (entered - year.first) * 24 // year.days)
    columns["HORANASC"] = as_text(
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
    columns["DTNASC"] = as_text(year.birth_words, written)


def damage(columns: Columns, draw: Draw, share: float) -> None:
    """Half of the damage is in weights, the rest spread over codes."""
    for column, words in BAD_VALUES.items():
        part = share / 2 if column == "PESO" else share / 2 / (len(BAD_VALUES) - 1)
        rows = draw.rows(part)
        mask = np.zeros(draw.n, dtype=bool)
        mask[rows] = True
        values = as_text(words, draw.rng.integers(0, len(words), len(rows)))
        columns[column] = pc.replace_with_mask(columns[column], pa.array(mask), values)
