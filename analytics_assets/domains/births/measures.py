"""The flags of a birth and the one measure list of every aggregate.

Belongs here: flag -> rule, and the measures and ratios that derive from flags and sums.
Does not belong here: how a column's text is read (``columns.py``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from analytics_assets.core.columns import Column, Measure, MeasureList, Ratio, Type


@dataclass(frozen=True)
class Flag:
    """A yes-or-no fact of a birth; NULL when the column that it reads is unknown.

    ``common``: nearly all births have it. ``within``: an earlier flag that all births have that
    have this one; ``apart_from``: one that none of them has. ``elsewhere``: the two places of those
    that have it are not one.
    """

    name: str
    rule: str
    description: str
    common: bool = False
    within: str = ""
    apart_from: str = ""
    elsewhere: bool = False

    @property
    def measure(self) -> str:
        """Stem of the measures that count it."""
        return self.name.removeprefix("is_").removeprefix("has_")

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns of the record that it is known by."""
        return tuple(sorted(set(re.findall(r"[A-Z][A-Z0-9]+", self.rule))))

    def column(self) -> Column:
        """The column of the fact table."""
        return Column(self.name, "boolean", self.description)


FLAGS: tuple[Flag, ...] = (
    Flag("is_cesarean", "PARTO = '2'", "Caesarean delivery."),
    Flag("is_hospital_birth", "LOCNASC = '1'", "Born in a hospital.", common=True),
    Flag("is_multiple_birth", "GRAVIDEZ in ('2', '3')", "Twin, triplet or more."),
    Flag(
        "is_preterm",
        "coalesce(GESTACAO in ('1', '2', '3', '4', '8'), SEMAGESTAC < 37)",
        "Born before 37 weeks.",
    ),
    Flag(
        "is_extreme_preterm",
        # Class 8 of the older form is 28 to 36 weeks.
        "coalesce(nullif(GESTACAO, '8') in ('1', '2', '3'), SEMAGESTAC < 32)",
        "Born before 32 weeks.",
        within="is_preterm",
    ),
    Flag("is_low_birth_weight", "PESO < 2500", "Birth weight under 2500 g."),
    Flag(
        "is_very_low_birth_weight",
        "PESO < 1500",
        "Birth weight under 1500 g.",
        within="is_low_birth_weight",
    ),
    Flag(
        "is_extremely_low_birth_weight",
        "PESO < 1000",
        "Birth weight under 1000 g.",
        within="is_very_low_birth_weight",
    ),
    Flag(
        "is_high_birth_weight",
        "PESO >= 4000",
        "Birth weight of 4000 g or more.",
        apart_from="is_low_birth_weight",
    ),
    Flag("is_low_apgar1", "APGAR1 < 7", "Apgar score under 7 in the first minute."),
    Flag("is_low_apgar5", "APGAR5 < 7", "Apgar score under 7 in the fifth minute."),
    Flag(
        "is_critical_apgar1",
        "APGAR1 <= 3",
        "Apgar score of 3 or less in the first minute.",
        within="is_low_apgar1",
    ),
    Flag(
        "is_critical_apgar5",
        "APGAR5 <= 3",
        "Apgar score of 3 or less in the fifth minute.",
        within="is_low_apgar5",
    ),
    Flag("is_adolescent_pregnancy", "IDADEMAE < 20", "Mother under 20 years."),
    Flag(
        "is_very_young_pregnancy",
        "IDADEMAE < 15",
        "Mother under 15 years.",
        within="is_adolescent_pregnancy",
    ),
    Flag(
        "is_geriatric_pregnancy",
        "IDADEMAE >= 35",
        "Mother of 35 years or more.",
        apart_from="is_adolescent_pregnancy",
    ),
    Flag("is_prenatal_adequate", "CONSULTAS = '4'", "Seven prenatal visits or more."),
    Flag("is_first_pregnancy", "QTDGESTANT = 0", "No pregnancy before."),
    Flag("has_previous_cesarean", "QTDPARTCES > 0", "Mother had a caesarean before."),
    Flag("has_previous_normal_delivery", "QTDPARTNOR > 0", "Mother had a vaginal delivery before."),
    Flag("has_congenital_anomaly", "IDANOMAL = '1'", "Congenital anomaly found."),
    Flag(
        "birth_location_differs",
        # Of a place that is "unknown in its state" nothing is known.
        "case when right(CODMUNNASC, 5) <> '00000' and right(CODMUNRES, 5) <> '00000'"
        " then CODMUNNASC <> CODMUNRES end",
        "Born in another municipality than the mother's.",
        elsewhere=True,
    ),
)

# name of the mean, column, unit, type of the sum: grams of a national year pass 2**31
_MEANS: tuple[tuple[str, str, str, Type], ...] = (
    ("birth_weight", "PESO", "grams", "bigint"),
    ("maternal_age", "IDADEMAE", "years", "integer"),
    ("gestational_weeks", "SEMAGESTAC", "weeks", "integer"),
    ("apgar5", "APGAR5", "score", "integer"),
)
_TOTAL = "total_births"


def _measures() -> list[Measure]:
    found = [Measure(_TOTAL, "count(*)", "Births.", "births")]
    # What is known by the same columns is known of the same births.
    known_by: dict[tuple[str, ...], str] = {}

    def known(stem: str, reads: tuple[str, ...], sql: str, text: str, **declared: Any) -> Measure:
        name = f"{stem}_known"
        usually = known_by.setdefault(reads, name)
        # Of several columns, flags may take what is unknown in different ways.
        same = usually if len(reads) == 1 and usually != name else ""
        usually = _TOTAL if usually == name else usually
        return Measure(name, sql, text, "births", usually=usually, same_as=same, **declared)

    for flag in FLAGS:
        stem, text = flag.measure, flag.description.rstrip(".").lower()
        what = f"Births of which it is known: {text}."
        within, apart = (_of(name) for name in (flag.within, flag.apart_from))
        known_within = tuple(f"{of.measure}_known" for of in within)
        found.append(
            Measure(
                f"{stem}_count",
                f"count(*) filter (where {flag.name})",
                f"Births: {text}.",
                "births",
                usually=_TOTAL if flag.common else "0",
                part_of=tuple(f"{of.measure}_count" for of in within),
                apart_from=tuple(f"{of.measure}_count" for of in apart),
                elsewhere=flag.elsewhere,
            )
        )
        sql = f"count({flag.name})"
        found.append(known(stem, flag.reads, sql, what, part_of=known_within))
    for name, column, unit, type_ in _MEANS:
        text = name.replace("_", " ")
        found.append(
            Measure(f"{name}_sum", f"coalesce(sum({column}), 0)", f"Sum of {text}.", unit, type_)
        )
        what = f"Births of which {text} is known."
        found.append(known(name, (column,), f"count({column})", what))
    return found


def known_measure(name: str, column: str) -> Measure:
    """Of how many births something is known, where nothing else is counted."""
    text = f"Births of which {name.replace('_', ' ')} is known."
    return Measure(f"{name}_known", f"count({column})", text, "births")


def _of(name: str) -> tuple[Flag, ...]:
    return tuple(flag for flag in FLAGS if flag.name == name)


def counted_by(column: str) -> tuple[str, ...]:
    """The measures of the flags that read a column of the record."""
    stems = [flag.measure for flag in FLAGS if column in flag.reads]
    return tuple(f"{stem}_{what}" for stem in stems for what in ("count", "known"))


def _ratios() -> list[Ratio]:
    found = []
    for flag in FLAGS:
        stem, text = flag.measure, flag.description.rstrip(".").lower()
        found.append(
            Ratio(
                f"{stem}_rate",
                f"{stem}_count",
                f"{stem}_known",
                f"Share of births of which it is known: {text}.",
                "percent",
                100,
            )
        )
        found.append(
            Ratio(
                f"{stem}_pct",
                f"{stem}_count",
                _TOTAL,
                f"Share of all births, biased low by unknowns: {text}.",
                "percent",
                100,
            )
        )
    for name, _, unit, _ in _MEANS:
        found.append(
            Ratio(
                f"mean_{name}",
                f"{name}_sum",
                f"{name}_known",
                f"Mean {name.replace('_', ' ')} where known.",
                unit,
            )
        )
    return found


BIRTH_MEASURES = MeasureList(tuple(_measures()), tuple(_ratios()))
_CORE_FLAGS = (
    "cesarean",
    "preterm",
    "low_birth_weight",
    "adolescent_pregnancy",
    "prenatal_adequate",
)
# What production has of large tables beyond those of the brief, so that ten national years fit.
CORE_MEASURES = (
    _TOTAL,
    *(f"{stem}_{part}" for stem in _CORE_FLAGS for part in ("count", "known")),
)
