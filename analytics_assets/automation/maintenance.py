"""What keeps what there is: production's backups, the lake's scrub, clean-up and archive.

Belongs here: their configuration and schedules, and what they report.
Does not belong here: how it is done (``production/backup.py``, ``warehouse/scrub.py``,
``warehouse/retention.py``, ``warehouse/archive.py``), taking back a change (``rollback_jobs.py``).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg
from pydantic import Field

from analytics_assets import settings
from analytics_assets.automation import disk, history
from analytics_assets.automation.failures import explained
from analytics_assets.automation.operation import Nothing, Operation
from analytics_assets.core.chosen import named
from analytics_assets.core.declaration import Table
from analytics_assets.core.display import rows_as_markdown
from analytics_assets.core.source import SourceError
from analytics_assets.production import backup, sealing
from analytics_assets.production.server import UrlError
from analytics_assets.warehouse import archive, reconciling, retention, scrub
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.catalogue import refresh_catalogue
from analytics_assets.warehouse.lake import Lake, open_lake
from analytics_assets.warehouse.ledger import now
from analytics_assets.warehouse.session import open_session
from analytics_assets.warehouse.storage import Storage

# Of the retention, until older versions take no more than they may.
_SHARES = (1, 0.5, 0.25, 0.1, 0.03)
_REASONS = (
    backup.BackupError,
    retention.RetentionError,
    archive.ArchiveError,
    UrlError,
    SourceError,
)
_ARCHIVE = "Folder or URL; by default `archive` in the home, or `_archive` of a lake at a URL."


class RestoreProduction(dg.Config):
    backup: str = Field(default=backup.LATEST, description="Name of a backup, or latest.")
    database: str = Field(
        default="",
        description="A database on production's server whose tables are replaced; empty restores"
        " into the database that backups are tried in, to look at.",
    )
    confirm: str = Field(default="", description="The database's name again, to say it is meant.")
    everything: bool = Field(
        default=False,
        description="On an empty machine: production, and the keys and settings that were sealed"
        " with BACKUP_PASSPHRASE.",
    )
    build_ledger: bool = Field(
        default=False,
        description="Put back the warehouse's build ledger, too, where it is lost.",
    )


class ScrubLake(dg.Config):
    percent: float | None = Field(
        default=None,
        gt=0,
        le=100,
        description="How much of the lake to read, 100 for all; by default SCRUB_SHARE_PERCENT.",
    )


class ReconcileLake(dg.Config):
    percent: float | None = Field(
        default=None,
        gt=0,
        le=100,
        description="How many of the years, 100 for all; by default SCRUB_SHARE_PERCENT.",
    )


class ArchivePartitions(dg.Config):
    table: str = Field(description="A table that is not in production, such as births/fact_births.")
    before: str = Field(description="Partitions before this one are archived.")
    folder: str = Field(
        default="",
        description=_ARCHIVE,
    )


class RestoreArchive(dg.Config):
    table: str = Field(description="The table whose partitions come back.")
    partitions: list[str] = Field(description="Which of them.")
    folder: str = Field(
        default="",
        description=_ARCHIVE,
    )


def back_up(
    tables: Sequence[Table], context: dg.OpExecutionContext, config: Nothing
) -> Mapping[str, Any]:
    with explained(*_REASONS):
        made, deleted = backup.back_up(settings.load(), tables, now(), context.log)
    if made is None:
        return {"backup": "none: nothing was promoted yet, so there is nothing to back up"}
    return {
        "backup": dg.MetadataValue.path(made.folder),
        "bytes": made.bytes,
        "tables and views, restored and compared": len(made.totals),
        "rows": sum(total.rows for total in made.totals.values()),
        "build ledger rows": made.manifest["build_ledger_rows"],
        "keys and settings": "sealed in it" if made.sealed else _unsealed(settings.load()),
        "deleted": ", ".join(deleted) or "none",
    }


def restore(
    tables: Sequence[Table], context: dg.OpExecutionContext, config: RestoreProduction
) -> Mapping[str, Any]:
    current = settings.load()
    put_back: list[str] = []
    with explained(*_REASONS):
        if config.everything:
            restored, put_back = backup.restore_everything(
                current, tables, config.backup, context.log
            )
        else:
            restored = backup.restore(
                current, config.backup, config.database, config.confirm, context.log
            )
        ledger = (
            backup.restore_builds(current, tables, restored)
            if config.build_ledger or config.everything
            else []
        )
    return {
        "backup": restored.name,
        "tables and views, compared": len(restored.totals),
        "rows": sum(total.rows for total in restored.totals.values()),
        "put back": ", ".join(put_back) or restored.name,
        "build ledger put back for": ", ".join(ledger) or "none",
    }


def vacuum(
    tables: Sequence[Table], context: dg.OpExecutionContext, config: Nothing
) -> Mapping[str, Any]:
    current, as_of = settings.load(), now()
    lake = open_lake(current.lake)
    # A run killed between publishing and this leaves views of files that may go now.
    refresh_catalogue(current, Snapshot(lake), tables)
    done: list[retention.Vacuumed] = []
    with explained(*_REASONS):
        for share in _SHARES:
            kept = current.lake_retention * share
            for table in retention.vacuum(lake, tables, kept, as_of):
                done.append(table)
                context.log.info(f"{table.table}: {table.files} files, {table.bytes:,} bytes")
            older = disk.of_lake(lake, tables)[disk.OLDER]
            if older <= current.lake_older_mb * 1e6:
                break
    leftovers, size = retention.clear_scratch(current, as_of)
    return {
        "days of versions kept": kept / timedelta(days=1),
        "bytes of older versions": older,
        "files deleted": sum(table.files for table in done),
        "bytes deleted": sum(table.bytes for table in done),
        "by table": dg.MetadataValue.md(
            rows_as_markdown([vars(t) for t in done if t.files or t.log_files])
        ),
        "leftovers in scratch": leftovers,
        "bytes of leftovers": size,
    }


def forget_old(
    tables: Sequence[Table], context: dg.OpExecutionContext, config: Nothing
) -> Mapping[str, Any]:
    current = settings.load()
    with explained(*_REASONS):
        return history.forget(current, now() - current.history_retention)


def read_again(
    tables: Sequence[Table], context: dg.OpExecutionContext, config: ScrubLake
) -> Mapping[str, Any]:
    current = settings.load()
    share = config.percent or current.scrub_share_percent
    done = scrub.scrub(open_lake(current.lake), tables, share, now())
    context.add_output_metadata(
        {"files": done.files, "bytes": done.bytes, "seconds": round(done.seconds, 1)}
    )
    if done.damaged:
        raise dg.Failure("\n".join(done.damaged), allow_retries=False)
    return {}


def compare_with_facts(
    tables: Sequence[Table], context: dg.OpExecutionContext, config: ReconcileLake
) -> Mapping[str, Any]:
    current = settings.load()
    share = config.percent or current.scrub_share_percent
    with open_session(current) as session:
        snapshot = Snapshot(open_lake(current.lake))
        done = reconciling.reconcile(session, snapshot, tables, share, now())
    told = {
        "partitions compared": done.partitions,
        "left, as they are behind or archived": done.behind,
    }
    context.add_output_metadata(told)
    if done.differing:
        raise dg.Failure("\n".join(done.differing), allow_retries=False)
    return {}


def archive_old(
    tables: Sequence[Table], context: dg.OpExecutionContext, config: ArchivePartitions
) -> Mapping[str, Any]:
    def archived(lake: Lake, table: Table, place: Storage) -> list[archive.Archived]:
        run_id = context.run_id
        return archive.archive(lake, tables, table, config.before, place, run_id, now())

    return _move(tables, config, archived)


def restore_archived(
    tables: Sequence[Table], context: dg.OpExecutionContext, config: RestoreArchive
) -> Mapping[str, Any]:
    def restored(lake: Lake, table: Table, place: Storage) -> list[archive.Archived]:
        return archive.restore(lake, table, config.partitions, place, context.run_id)

    return _move(tables, config, restored)


def _move(
    tables: Sequence[Table],
    config: ArchivePartitions | RestoreArchive,
    move: Callable[[Lake, Table, Storage], list[archive.Archived]],
) -> Mapping[str, Any]:
    """Move partitions of a table out of the lake or back, and say which."""
    current = settings.load()
    lake = open_lake(current.lake)
    place = archive.archive_of(current, config.folder)
    with explained(*_REASONS):
        (table, *more) = named(tables, config.table)
        if more:
            raise archive.ArchiveError(f"{config.table} is a domain. Say one table of it")
        done = move(lake, table, place)
    refresh_catalogue(current, Snapshot(lake), [table])
    return {
        "partitions": ", ".join(archived.partition for archived in done) or "none",
        "rows": sum(archived.rows for archived in done),
        "bytes": sum(archived.bytes for archived in done),
        "folders": dg.MetadataValue.md(
            rows_as_markdown([{"folder": archived.folder} for archived in done])
        ),
    }


def _unsealed(current: settings.Settings) -> str:
    """What is lost with the machine, for want of a passphrase."""
    kept = ", ".join(path.name for path in sealing.keys(current)) or "the settings"
    return f"not in it: set BACKUP_PASSPHRASE to seal them in, or keep {kept} elsewhere"


OPERATIONS = (
    Operation(
        "backup_production",
        "backup",
        "Dump production and the build ledger into BACKUP_FOLDER, prove it by restoring it into"
        " another database and comparing, then delete backups that have had their time.",
        back_up,
        cron=("nightly", "0 5 * * *"),
    ),
    Operation(
        "restore_production",
        "restore",
        "Put a backup into a database, compared with what was dumped. Production itself only if its"
        " name is repeated; what the warehouse has since is then promoted again.",
        restore,
        RestoreProduction,
    ),
    Operation(
        "vacuum_lake",
        "vacuum",
        "Delete files of the lake that no version of the last LAKE_RETENTION_DAYS needs, or of"
        " fewer where older versions take more than LAKE_OLDER_MB; shorten its logs, and clear the"
        " scratch folder.",
        vacuum,
        cron=("weekly", "0 6 * * 0"),
    ),
    Operation(
        "forget_history",
        "forget",
        "Delete what Dagster recorded before the last HISTORY_DAYS: events, evaluations of checks,"
        " runs and their output, and replaced entries of the promotion log. What is so now stays.",
        forget_old,
        cron=("nightly", "30 5 * * *"),
    ),
    Operation(
        "scrub_lake",
        "",
        "Read a share of the lake's live files again, and all logs, and compare them with their"
        " checksums. What is damaged is put aside and built anew by the next run.",
        read_again,
        ScrubLake,
        # An hour before sources are looked at, so that what it finds is mended the same night.
        cron=("nightly", "0 2 * * *"),
    ),
    Operation(
        "reconcile_lake",
        "reconcile",
        "Compare the totals of live aggregates with the facts that they count, whatever is between:"
        " a share of the years each night.",
        compare_with_facts,
        ReconcileLake,
        cron=("nightly", "30 2 * * *"),
    ),
    Operation(
        "archive_partitions",
        "archive",
        "Move old partitions of a table that is not in production into a folder. What was computed"
        " from them stays, and waits for them if it is to be built anew.",
        archive_old,
        ArchivePartitions,
    ),
    Operation(
        "restore_archive",
        "restore-archive",
        "Bring archived partitions back as they were.",
        restore_archived,
        RestoreArchive,
    ),
)
