"""Putting production back to what it held at an earlier moment, a whole domain at once.

Belongs here: finding the versions of then in the lake, and making them visible again.
Does not belong here: the warehouse's own versions (``warehouse/rollback_table.py``), backups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import duckdb
import sqlalchemy as sa

from analytics_assets.core.declaration import Table
from analytics_assets.production import records
from analytics_assets.production.promotion import Move, Offer, PromotionError
from analytics_assets.production.review import put_on_hold
from analytics_assets.production.standing import Promoted, look, promoted, remember
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.integrity import damaged
from analytics_assets.warehouse.lake import by_key


def moment_before(connection: sa.Connection, number: int) -> tuple[str, datetime]:
    """The domain of a release, and the last moment at which readers did not see it yet."""
    row = connection.execute(
        sa.select(records.release).where(records.release.c.id == number)
    ).one_or_none()
    if row is None:
        raise PromotionError(f"There is no release {number}; promotion.release lists them")
    return row.domain, row.made_at - timedelta(microseconds=1)


def roll_back(
    engine: sa.Engine,
    session: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    tables: Sequence[Table],
    moment: datetime,
    run_id: str,
) -> dict[str, list[str]]:
    """Make a domain in production what it was at a moment, in one transaction: a release, too.

    Returns table -> partitions that changed. What the warehouse has now is put on hold, so that it
    is not promoted again until it is confirmed or the warehouse has yet another version. Raises
    ``PromotionError`` where a version of then cannot be read any more.
    """
    done: dict[str, list[str]] = {}
    with engine.begin() as connection:
        domain = tables[0].domain
        records.begin_writing(connection, domain)
        standings = look(connection, tables)
        why = f"production was put back to {moment.isoformat(timespec='seconds')}"
        opened = records.OpenRelease(connection, domain, "rollback", run_id, why)
        for place, table in enumerate(table.promoted for table in tables if table.publish):
            standing = standings[table.key]
            present, then = standing.promoted, promoted(connection, table, moment)
            if standing.rows != "sound":
                if not (present or then):
                    continue
                raise PromotionError(
                    f"{table.key}: {standing.why or 'it is not there'}, so older versions cannot be"
                    f" put beside it. Materialise {domain} first, or restore a backup. Nothing was"
                    " changed"
                )
            changed = sorted(
                key
                for key in present.keys() | then.keys()
                if _fingerprint(present, key) != _fingerprint(then, key)
            )
            for turn, (offer, keys) in enumerate(_offers(snapshot, table, then, changed)):
                copied = [key for key in keys if key in offer.files]
                removed = [key for key in keys if key not in offer.files]
                name = f"incoming_{place}_{turn}"
                move = Move(table, offer, copied, removed, present, name)
                move.load(connection, session)
                move.review(connection)
                move.replace(connection)
                move.enter(connection, run_id, opened.number)
            live = {file.key: file.fingerprint for file in snapshot.files(table)}
            versions = {
                key: (live.get(key, ""), why)
                for key in changed
                if live.get(key, "") != _fingerprint(then, key)
            }
            put_on_hold(connection, table, versions, run_id, f"{run_id}/rollback")
            if changed:
                done[table.key] = changed
                remember(connection, [table])
        opened.close()
    return done


def _fingerprint(entries: Mapping[str, Promoted], partition: str) -> str:
    return entries[partition].fingerprint if partition in entries else ""


def _offers(
    snapshot: Snapshot, table: Table, then: Mapping[str, Promoted], changed: Sequence[str]
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
