"""Putting production back to what it held at an earlier moment.

Belongs here: finding the versions of then in the lake, and promoting them again.
Does not belong here: the warehouse's own versions (``warehouse/rollback.py``), backups.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import duckdb
import sqlalchemy as sa

from analytics_assets.core.declaration import Table
from analytics_assets.production import schema
from analytics_assets.production.promotion import (
    Offer,
    Promoted,
    PromotionError,
    begin,
    move,
    promoted,
)
from analytics_assets.production.review import put_on_hold
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.integrity import damaged
from analytics_assets.warehouse.lake import by_key


def roll_back(
    engine: sa.Engine,
    session: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    tables: Sequence[Table],
    moment: datetime,
    run_id: str,
) -> dict[str, list[str]]:
    """Make the tables in production what they were at a moment, all in one transaction.

    Returns table -> partitions that changed. What the warehouse has now is put on hold, so that it
    is not promoted again until it is confirmed or the warehouse has yet another version. Raises
    ``PromotionError`` where a version of then cannot be read any more.
    """
    done: dict[str, list[str]] = {}
    with engine.begin() as connection:
        # In one order, so that two of these cannot wait for each other.
        for table in sorted((t.promoted for t in tables), key=lambda table: table.key):
            begin(connection, table)
            if schema.shape_differs(connection, table):
                raise PromotionError(
                    f"{table.key}: it is stored in another shape than declared now, so older"
                    " versions cannot be put beside it. Promote it, or restore a backup"
                )
            present, then = promoted(connection, table), promoted(connection, table, moment)
            changed = sorted(
                key
                for key in present.keys() | then.keys()
                if _fingerprint(present, key) != _fingerprint(then, key)
            )
            for offer, keys in _offers(snapshot, table, then, changed):
                move(connection, session, table, offer, keys, present, run_id, None, False)
            live = snapshot.lake_fingerprints(table)
            why = f"production was put back to {moment.isoformat(timespec='seconds')}"
            versions = {
                key: (live.get(key, ""), why)
                for key in changed
                if live.get(key, "") != _fingerprint(then, key)
            }
            put_on_hold(connection, table, versions, run_id)
            if changed:
                done[table.key] = changed
    return done


def _fingerprint(held: dict[str, Promoted], partition: str) -> str:
    return held[partition].fingerprint if partition in held else ""


def _offers(
    snapshot: Snapshot, table: Table, then: dict[str, Promoted], changed: list[str]
) -> list[tuple[Offer, list[str]]]:
    """The versions that hold what production held, and the partitions to take from each."""
    by_version: dict[int | None, list[str]] = {}
    for key in changed:
        by_version.setdefault(then[key].version if key in then else None, []).append(key)
    offers = []
    for version, keys in by_version.items():
        if version is None:
            offers.append((Offer(snapshot.lake.version(table), {}), keys))
            continue
        wanted = [
            file
            for file in snapshot.lake.files(table, version)
            if file.key in keys and file.fingerprint == then[file.key].fingerprint
        ]
        gone = damaged(snapshot.lake, wanted)
        if gone or {file.key for file in wanted} != set(keys):
            raise PromotionError(
                f"{table.key}: version {version} of the warehouse, which production held then,"
                " cannot be read any more. Choose a later moment, or restore a backup."
                " Nothing was changed"
            )
        offers.append((Offer(version, by_key(wanted)), keys))
    return offers
