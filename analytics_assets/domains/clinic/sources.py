"""The sources of the clinic: patients are known by a keyed hash as soon as they land.

Belongs here: naming the rows of the feeds by that hash.
Does not belong here: names and columns of files (``landing.py``), reading and merging them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from analytics_assets.landing import pseudonyms
from analytics_assets.landing.feed import Feed
from analytics_assets.landing.upserts import UpsertSource

KEY = pseudonyms.Key("CLINIC_PSEUDONYM_KEY", "clinic_pseudonym.key")
_KEY = "key of the pseudonyms"


class PseudonymSource(UpsertSource):
    """A feed with the keyed hash of each patient, and of each row under ``key_name``."""

    def __init__(self, feed: Feed, key_name: str) -> None:
        super().__init__(feed)
        self._key_name = key_name

    @property
    def unique(self) -> tuple[str, ...]:
        """The hash."""
        return (self._key_name,)

    def inputs(self) -> Mapping[str, Mapping[str, str]]:
        """As of any feed; another key names every row anew."""
        found = super().inputs()
        # Asked for only where there is something to hash.
        key = {_KEY: KEY.check_value()} if found else {}
        return {partition: {**days, **key} for partition, days in found.items()}

    @contextmanager
    def landed(self, session: Any, rows: str) -> Iterator[str]:
        """The rows with their hashes."""
        name = f"named_{rows}"
        hashes = {self._key_name: "row_name", "patient_key": "patient_id"}
        hashed = ", ".join(f"{pseudonyms.hash_sql(sql)} as {own}" for own, sql in hashes.items())
        with KEY.keyed(session):
            session.execute(
                f"create temp table {name} as select {self.columns()}, {hashed}"
                f" from {rows} {pseudonyms.PADS_SQL}"
            )
        yield f"select * from {name}"
        session.execute(f"drop table {name}")
