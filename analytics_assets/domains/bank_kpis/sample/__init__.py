"""Seeded, made-up workbooks in the regulator's layouts, for tests, demos and benchmarks.

What belongs here: drawing amounts that look like Mexican banks, and the quirks of real workbooks.
What does not: reading workbooks, and any rule of the pipeline; the pipeline must not import this
module, so that a mistake here cannot hide a mistake there.

No value is copied from a real workbook; only the order of size of banks shapes the draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import xlsxwriter

# Code -> share of the system, share of stage 3, and shares of commercial, consumer, housing.
BANKS: Mapping[int, tuple[float, float, tuple[float, float, float]]] = {
    40002: (0.14, 0.020, (0.60, 0.26, 0.14)),
    40012: (0.24, 0.018, (0.55, 0.23, 0.22)),
    40014: (0.13, 0.021, (0.60, 0.17, 0.23)),
    40021: (0.08, 0.025, (0.66, 0.14, 0.20)),
    40044: (0.09, 0.022, (0.55, 0.10, 0.35)),
    40059: (0.008, 0.023, (0.80, 0.20, 0.00)),
    40072: (0.17, 0.016, (0.62, 0.15, 0.23)),
    40127: (0.02, 0.060, (0.20, 0.80, 0.00)),
    40138: (0.002, 0.300, (0.95, 0.00, 0.05)),
    40158: (0.004, 0.001, (1.00, 0.00, 0.00)),
}
CONSOLIDATED = {112: 40012, 159: 40059}
G7 = (40002, 40012, 40014, 40021, 40044, 40072)
SYSTEM, SYSTEM_CONSOLIDATED, GROUP = 5, 21, 59
LATE = 40158  # reports from the seventh month on; rows of zeros before
SYSTEM_SIZE = 7_000_000.0
_STAGES = ("1", "2", "3", "VR")
_SEGMENTS = ("Créditos Comerciales", "Créditos de Consumo", "Créditos a la Vivienda")
_PARTS = (
    "Actividad Empresarial o Comercial",
    "Entidades Financieras",
    "Entidades Gubernamentales",
)
_NAMES = {40059: "Invex", SYSTEM: "Total Banca Múltiple"}
PORTFOLIO_HEADER = (
    "Institucion",
    "Cve_Periodo",
    "Año",
    "Mes",
    "Fecha",
    *(f"{name} Etapa {stage}" for stage in _STAGES for name in ("Cartera Total", *_SEGMENTS)),
    *(f"{name} Etapa {stage}" for stage in _STAGES for name in _PARTS),
    "Cartera de Crédito Total Etapa todas",
    "Reservas Etapa todas",
    "Res Actividad Empresarial o Comercial Etapa todas",
    "Res Entidades Financieras Etapa todas",
    "Res Entidades Gubernamentales Etapa todas",
    "Res Créditos de Consumo Etapa todas",
    "Res Créditos a la Vivienda Etapa todas",
)
WRITE_OFFS_HEADER = (
    "AÑO",
    "MES",
    "FECHA",
    "periodo",
    "institucion",
    "LIB_CASTIGOS_COMERC",
    "LIB_CASTIGOS_CONSUMO",
    "LIB_CASTIGOS_VIVIENDA",
    "LIB_OTROS_CASTIGOS",
    "QUITAS_COMER",
    "QUITAS_CONSUMO",
    "QUITAS_VIVIENDA",
    "QUITAS_OTROS",
)
Row = list[Any]


def generate(
    folder: Path,
    *,
    first: date = date(2023, 1, 1),
    months: int = 24,
    banks: Iterable[int] = tuple(BANKS),
    seed: int = 2024,
) -> list[Path]:
    """Write four workbooks of ``months`` months from ``first`` on and return their paths.

    Amounts are in millions; the same arguments give the same cells. Existing files of the same
    names are replaced. Raises ValueError for no month, or a ``first`` that is no first of a month.
    """
    if months < 1 or first.day != 1:
        raise ValueError(f"need months >= 1 and a first of a month, got {months} and {first}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    span = [_later(first, number) for number in range(months)]
    chosen = [code for code in BANKS if code in set(banks)]
    rng = np.random.default_rng(seed)
    portfolio = {code: _portfolio(rng, code, span) for code in chosen}
    books: dict[str, dict[str, list[Row]]] = {
        f"CNBV_Cartera_Bancos_{span[0].year}_{span[-1].year}.xlsx": {
            "Sheet1": _portfolio_sheet(portfolio, span)
        },
        "ICAP_Bancos.xlsx": {"Sheet1": _capital_sheet(rng, chosen, span)},
        "TDA.xlsx": {"Hoja1": _adjusted_sheet(rng, chosen, span)},
        "CASTIGOS.xlsx": {
            "ACUMULADO": [[], ["institucion", "periodo", "Sum of LIB_CASTIGOS_COMERC"], [5, "", 1]],
            "CASTIGOS": _write_off_sheet(rng, chosen, span),
        },
    }
    return [write_workbook(folder / name, sheets) for name, sheets in books.items()]


def write_workbook(path: Path, sheets: Mapping[str, Sequence[Sequence[Any]]]) -> Path:
    """Rows of cells as an Excel workbook; dates become date cells."""
    with xlsxwriter.Workbook(str(path), {"default_date_format": "dd/mm/yyyy"}) as workbook:
        for name, rows in sheets.items():
            sheet = workbook.add_worksheet(name)
            for number, row in enumerate(rows):
                for place, cell in enumerate(row):
                    if cell is not None and cell != "":
                        sheet.write(number, place, cell)
    return path


def _later(first: date, months: int) -> date:
    year, month = divmod(first.month - 1 + months, 12)
    return date(first.year + year, month + 1, 1)


def _portfolio(rng: np.random.Generator, code: int, span: Sequence[date]) -> np.ndarray:
    """Amounts (month, 34): 16 of stages by segment, 12 of their parts, 6 of reserves."""
    share, overdue, mix = BANKS[code]
    months = len(span)
    size = SYSTEM_SIZE * share * np.cumprod(1 + rng.normal(0.006, 0.008, months))
    bad = np.clip(overdue * (1 + rng.normal(0, 0.06, (months, 3))), 0, 1)
    watch = np.clip(rng.normal(0.02, 0.003, (months, 3)), 0, 1)
    segments = size[:, None] * np.array(mix)
    stages = np.stack(
        [segments * (1 - bad - watch), segments * watch, segments * bad, segments * 0.001], axis=1
    )
    stages = np.round(stages, 6)
    parts = np.round(stages[:, :, :1] * np.array([0.75, 0.10, 0.15]), 6)
    parts[:, :, 2] = np.round(stages[:, :, 0] - parts[:, :, 0] - parts[:, :, 1], 6)
    by_stage = np.concatenate([stages.sum(axis=2, keepdims=True), stages], axis=2)
    reserves = -np.round(stages[:, 2, :] * rng.uniform(1.3, 1.7, (months, 3)), 6)
    split = np.round(reserves[:, :1] * np.array([0.8, 0.1, 0.1]), 6)
    reserves = np.concatenate([reserves.sum(axis=1, keepdims=True), split, reserves[:, 1:]], axis=1)
    amounts = np.concatenate(
        [by_stage.reshape(months, -1), parts.reshape(months, -1), reserves], axis=1
    )
    if code == LATE:
        amounts[: min(6, months - 1)] = 0
    return np.round(amounts, 6)


def _portfolio_sheet(portfolio: Mapping[int, np.ndarray], span: Sequence[date]) -> list[Row]:
    """The sheet as the regulator has it: aggregates among the banks, doubled rows, zeros."""
    whole = sum(portfolio.values())
    books: dict[int, Any] = dict(portfolio)
    books[GROUP] = sum((portfolio[code] for code in G7 if code in portfolio), 0 * whole)
    books.update(
        {code: 1.02 * portfolio[of] for code, of in CONSOLIDATED.items() if of in portfolio}
    )
    books[SYSTEM], books[SYSTEM_CONSOLIDATED] = whole, 1.03 * whole
    rows: list[Row] = [list(PORTFOLIO_HEADER)]
    for code, amounts in books.items():
        for day, own in zip(span, amounts, strict=True):
            values = [float(round(value, 6)) for value in own]
            # Before 2022 the regulator's own total is 0 throughout.
            stated = round(sum(values[0:16:4]), 6) if day.year >= 2022 else 0.0
            cells = [*values[:28], stated, *values[28:]]
            rows.append([code, day.year * 100 + day.month, day.year, day.month, day, *cells])
    rows.append(rows[1])
    return rows


def _capital_sheet(
    rng: np.random.Generator, banks: Sequence[int], span: Sequence[date]
) -> list[Row]:
    """Newest first; the second month in ratios, blanks, ``n.d.``."""
    rows: list[Row] = [["Cve_Inst", "Banco", "FECHA", "ICAP Total", "CCB", "CCF"]]
    for code in (*banks, SYSTEM):
        for number in reversed(range(len(span))):
            total = round(float(rng.normal(16, 1.5)), 6)
            scale = 100 if number == 1 else 1
            icap: Any = round(total / scale, 6)
            core: Any = round(total * 0.95 / scale, 6)
            if (code, number) == (40127, 3):
                core = "n.d."
            if code == LATE and number < 6:
                icap = core = 0
            name = _NAMES.get(code, f"Banco {code}")
            rows.append([code, name, span[number], icap, core, "" if number % 2 else core])
    return rows


def _adjusted_sheet(
    rng: np.random.Generator, banks: Sequence[int], span: Sequence[date]
) -> list[Row]:
    """A header with leading blanks, dates as text, month first."""
    rows: list[Row] = [[" Cve_Institucion", " Fecha", " TDA"]]
    for code in banks:
        for day in span:
            if code != LATE:
                tda = round(100 * BANKS[code][1] * 1.8 * float(rng.normal(1, 0.05)), 6)
                rows.append([code, f"{day:%m/%d/%Y}", tda])
    return rows


def _write_off_sheet(
    rng: np.random.Generator, banks: Sequence[int], span: Sequence[date]
) -> list[Row]:
    """Dates as text, month first; from October of the last year on, date cells with day and month
    swapped; in the last month, numbers that lost their format."""
    rows: list[Row] = [list(WRITE_OFFS_HEADER)]
    for day in span:
        shown: Any = f"{day:%m/%d/%Y}"
        if day.year == span[-1].year and day.month >= 10:
            shown = date(day.year, 1, day.month)
        if day == span[-1]:
            shown = (day - date(1899, 12, 30)) // timedelta(days=1)
        drawn = {
            code: [round(float(v), 6) for v in rng.gamma(2.0, BANKS[code][0] * 500, 8)]
            for code in banks
            if code != LATE
        }
        for code in (*drawn, SYSTEM):
            amounts = drawn.get(code) or [
                round(sum(c), 6) for c in zip(*drawn.values(), strict=True)
            ]
            written = code if code == SYSTEM else f"{code:06}"
            rows.append(
                [str(day.year), f"{day.month:02}", shown, day.year * 100 + day.month, written]
                + amounts
            )
    return rows
