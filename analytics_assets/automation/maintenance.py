"""What keeps what there is: production's backups, the lake's scrub, clean-up and archive.

Belongs here: their configuration and schedules, and what they report.
Does not belong here: how it is done (``production/backup.py``, ``warehouse/scrub.py``,
``warehouse/retention.py``, ``warehouse/archive.py``), taking back a change (``rollback_jobs.py``).
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from analytics_assets import settings
from analytics_assets.automation.failures import explained
from analytics_assets.automation.operation import Nothing, Operation
from analytics_assets.core.chosen import named
from analytics_assets.core.declaration import Table
from analytics_assets.core.display import rows_as_markdown
from analytics_assets.core.source import SourceError
from analytics_assets.production import backup
from analytics_assets.production.server import UrlError
from analytics_assets.warehouse import archive, retention, scrub
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.catalogue import refresh_catalogue
from analytics_assets.warehouse.lake import Lake, open_lake
from analytics_assets.warehouse.ledger import now

_REASONS = (
    backup.BackupError,
    retention.RetentionError,
    archive.ArchiveError,
    UrlError,
    SourceError,
)


class RestoreProduction(dg.Config):
    backup: str = Field(default=backup.LATEST, description="Name of a backup, or latest.")
    database: str = Field(
        default="",
        description="A database on production's server whose tables are replaced; empty restores"
        " into the database that backups are tried in, to look at.",
    )
    confirm: str = Field(default="", description="The database's name again, to say it is meant.")
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


class ArchivePartitions(dg.Config):
    table: str = Field(description="A table that is not in production, such as births/fact_births.")
    before: str = Field(description="Partitions before this one are archived.")
    folder: str = Field(default="", description="Where to; by default $ANALYTICS_HOME/archive.")


class RestoreArchive(dg.Config):
    table: str = Field(description="The table whose partitions come back.")
    partitions: list[str] = Field(description="Which of them.")
    folder: str = Field(default="", description="Where from; by default $ANALYTICS_HOME/archive.")


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
        "deleted": ", ".join(deleted) or "none",
    }


def restore(
    tables: Sequence[Table], context: dg.OpExecutionContext, config: RestoreProduction
) -> Mapping[str, Any]:
    current = settings.load()
    with explained(*_REASONS):
        restored = backup.restore(
            current, config.backup, config.database, config.confirm, context.log
        )
        ledger = backup.restore_builds(current, tables, restored) if config.build_ledger else []
    return {
        "backup": restored.name,
        "tables and views, compared": len(restored.totals),
        "rows": sum(total.rows for total in restored.totals.values()),
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
        for table in retention.vacuum(lake, tables, current.lake_retention, as_of):
            done.append(table)
            context.log.info(f"{table.table}: {table.files} files, {table.bytes:,} bytes")
    leftovers, size = retention.clear_scratch(current, as_of)
    return {
        "files deleted": sum(table.files for table in done),
        "bytes deleted": sum(table.bytes for table in done),
        "by table": dg.MetadataValue.md(
            rows_as_markdown([vars(t) for t in done if t.files or t.log_files])
        ),
        "leftovers in scratch": leftovers,
        "bytes of leftovers": size,
    }


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


def archive_old(
    tables: Sequence[Table], context: dg.OpExecutionContext, config: ArchivePartitions
) -> Mapping[str, Any]:
    def archived(lake: Lake, table: Table, folder: Path) -> list[archive.Archived]:
        run_id = context.run_id
        return archive.archive(lake, tables, table, config.before, folder, run_id, now())

    return _move(tables, config, archived)


def restore_archived(
    tables: Sequence[Table], context: dg.OpExecutionContext, config: RestoreArchive
) -> Mapping[str, Any]:
    def restored(lake: Lake, table: Table, folder: Path) -> list[archive.Archived]:
        return archive.restore(lake, table, config.partitions, folder, context.run_id)

    return _move(tables, config, restored)


def _move(
    tables: Sequence[Table],
    config: ArchivePartitions | RestoreArchive,
    move: Callable[[Lake, Table, Path], list[archive.Archived]],
) -> Mapping[str, Any]:
    """Move partitions of a table out of the lake or back, and say which."""
    current = settings.load()
    lake = open_lake(current.lake)
    folder = Path(config.folder).absolute() if config.folder else current.home / "archive"
    with explained(*_REASONS):
        (table, *more) = named(tables, config.table)
        if more:
            raise archive.ArchiveError(f"{config.table} is a domain. Say one table of it")
        done = move(lake, table, folder)
    refresh_catalogue(current, Snapshot(lake), [table])
    return {
        "partitions": ", ".join(archived.partition for archived in done) or "none",
        "rows": sum(archived.rows for archived in done),
        "bytes": sum(archived.bytes for archived in done),
        "folders": dg.MetadataValue.md(
            rows_as_markdown([{"folder": archived.folder} for archived in done])
        ),
    }


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
        "Delete files of the lake that no version of the last LAKE_RETENTION_DAYS needs, shorten"
        " its logs, and clear the scratch folder.",
        vacuum,
        cron=("weekly", "0 6 * * 0"),
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
