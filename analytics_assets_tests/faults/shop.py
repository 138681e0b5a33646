"""The landing folder of the toy domain, and what every table must hold for what is in it.

Belongs here: writing seeded changes of the sources, and the tables' rows in SQL of its own.
Does not belong here: any call of the code that is tested.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

Row = tuple[Any, ...]
Content = dict[str, dict[str, list[Row]]]  # table -> partition (or slice) -> its rows, sorted

FIRST, DAYS = date(2023, 12, 25), 16
_MEASURES = "count(*), count(*) filter (where cents > 1000), cast(sum(cents) as bigint)"
# The first column is the partition, or slice, that a row is in; the others are those stored.
_ROWS = {
    "toy/raw_sales": "select coalesce(strftime(sold_on, '%Y-%m-%d'), month), sold_on, shop, cents,"
    " position from sales",
    "toy/fact_sales": "select strftime(sold_on, '%Y-%m-%d'), sold_on, shop, cents from dated",
    "toy/agg_shop_daily": "select strftime(sold_on, '%Y-%m'), sold_on, shop,"
    f" {_MEASURES} from dated group by all",
    "toy/agg_shop_monthly": "select strftime(sold_on, '%Y-%m'), cast(year(sold_on) as integer),"
    f" cast(month(sold_on) as integer), shop, {_MEASURES} from dated group by all",
    "toy/agg_weekly": "select strftime(date_trunc('week', sold_on), '%Y-%m-%d'),"
    f" cast(date_trunc('week', sold_on) as date), {_MEASURES} from dated group by all",
    "toy/agg_yearly": "select strftime(sold_on, '%Y'), cast(year(sold_on) as integer),"
    f" {_MEASURES} from dated group by all",
}
COLUMNS = {
    "toy/raw_sales": "sold_on, shop, cents, position",
    "toy/fact_sales": "sold_on, shop, cents",
    "toy/agg_shop_daily": "day, shop, sales, big_sales, cents",
    "toy/agg_shop_monthly": "year, month, shop, sales, big_sales, cents",
    "toy/agg_weekly": "week, sales, big_sales, cents",
    "toy/agg_yearly": "year, sales, big_sales, cents",
}
# The partition of a row that readers see, in PostgreSQL.
PROMOTED = {
    "toy/agg_shop_daily": "to_char(day, 'YYYY-MM')",
    "toy/agg_shop_monthly": "to_char(make_date(year, month, 1), 'YYYY-MM')",
    "toy/agg_weekly": "to_char(week, 'YYYY-MM-DD')",
    "toy/agg_yearly": "to_char(make_date(year, 1, 1), 'YYYY')",
}


class Shop:
    """Sales of a few days around a turn of the year, as one CSV file a month."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.months: dict[str, list[Row]] = {}
        for number in range(DAYS):
            self._sell(FIRST + timedelta(number), 4)
        self._write(self.months)

    def change(self) -> None:
        """Restate a stretch of days: other sales or none at all; and a sale without a day."""
        first = self.random.randrange(DAYS - 3)
        days = [FIRST + timedelta(first + n) for n in range(self.random.randint(1, 3))]
        touched = {f"{day:%Y-%m}" for day in days}
        gone = self.random.random() < 0.3
        for month in touched:
            self.months[month] = [row for row in self.months[month] if row[0] not in days]
            if gone and self.random.random() < 0.3:
                self.months[month] = []
        if not gone:
            for day in days:
                self._sell(day, self.random.randint(1, 6))
        self.months[min(touched)].append((None, "a", self.random.randrange(3000)))
        self._write(touched)

    def _sell(self, day: date, count: int) -> None:
        month = self.months.setdefault(f"{day:%Y-%m}", [])
        month += [
            (day, self.random.choice("abc"), self.random.randrange(3000)) for _ in range(count)
        ]

    def _write(self, months: Iterable[str]) -> None:
        for month in months:
            lines = [f"{day or ''},{shop},{cents}" for day, shop, cents in self.months[month]]
            text = "\n".join(f"{line},{i}" for i, line in enumerate(lines))
            draft = self.folder / "draft"
            draft.write_text(f"sold_on,shop,cents,position\n{text}\n")
            draft.replace(self.folder / f"{month}.csv")

    def content(self) -> Content:
        """What every table must hold now."""
        with duckdb.connect() as session:
            session.execute(
                "create table sales (month varchar, sold_on date, shop varchar, cents integer,"
                " position integer)"
            )
            for month, rows in self.months.items():
                numbered = [(month, *row, i) for i, row in enumerate(rows)]
                if numbered:
                    session.executemany("insert into sales values (?, ?, ?, ?, ?)", numbered)
            session.execute("create view dated as select * from sales where sold_on is not null")
            return {table: by_key(session.execute(sql).fetchall()) for table, sql in _ROWS.items()}


def by_key(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows whose first column is their key, as key -> rows without it, sorted."""
    found: dict[str, list[Row]] = {}
    for key, *row in rows:
        found.setdefault(key, []).append(tuple(row))
    return {key: sorted(own, key=repr) for key, own in found.items()}


# Table -> what it is computed from; keys begin alike where one feeds the other, but for weeks.
UPSTREAM = {
    "toy/fact_sales": "toy/raw_sales",
    "toy/agg_shop_daily": "toy/fact_sales",
    "toy/agg_shop_monthly": "toy/agg_shop_daily",
    "toy/agg_weekly": "toy/agg_shop_daily",
    "toy/agg_yearly": "toy/agg_shop_monthly",
}


def feeding(table: str, key: str, keys: Iterable[str]) -> list[str]:
    """Which of these keys of the table upstream feed a partition."""
    if table == "toy/agg_weekly":
        monday = date.fromisoformat(key)
        months = {f"{monday:%Y-%m}", f"{monday + timedelta(6):%Y-%m}"}
        return sorted(months & set(keys))
    return sorted(name for name in keys if name.startswith(key) and len(name) >= len(key))
