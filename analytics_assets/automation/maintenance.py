"""Jobs that keep what there is: production's backups, the lake's scrub, clean-up and archive.

Belongs here: their configuration and schedules, and what they report to the UI.
Does not belong here: how it is done (``production/backup.py``, ``warehouse/scrub.py``,
``warehouse/retention.py``, ``warehouse/archive.py``), taking back a change (``rollback_jobs.py``).
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import dagster as dg
from pydantic import Field

from analytics_assets import settings
from analytics_assets.automation.failures import explained
from analytics_assets.automation.jobs import one_op_job
from analytics_assets.core.boundary import in_our_words
from analytics_assets.core.declaration import Table
from analytics_assets.core.display import rows_as_markdown
from analytics_assets.production import backup
from analytics_assets.production.server import UrlError
from analytics_assets.warehouse import archive, retention, scrub
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.catalogue import refresh_catalogue
from analytics_assets.warehouse.lake import Lake, open_lake
from analytics_assets.warehouse.ledger import now

_REASONS = (backup.BackupError, retention.RetentionError, archive.ArchiveError, UrlError)


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


def maintenance_definitions(tables: Sequence[Table]) -> dg.Definitions:
    """Jobs and schedules: production's backup and restore, the lake's scrub, clean-up, archive."""

    @dg.op
    @in_our_words
    def back_up(context: dg.OpExecutionContext) -> None:
        with explained(*_REASONS):
            made, deleted = backup.back_up(settings.load(), tables, now(), context.log)
        if made is None:
            context.log.info("Nothing was promoted yet, so there is nothing to back up.")
            return
        context.add_output_metadata(
            {
                "backup": dg.MetadataValue.path(made.folder),
                "bytes": made.bytes,
                "tables and views, restored and compared": len(made.totals),
                "rows": sum(total.rows for total in made.totals.values()),
                "build ledger rows": made.manifest["build_ledger_rows"],
                "deleted": ", ".join(deleted) or "none",
            }
        )

    @dg.op
    @in_our_words
    def restore(context: dg.OpExecutionContext, config: RestoreProduction) -> None:
        current = settings.load()
        with explained(*_REASONS):
            restored = backup.restore(
                current, config.backup, config.database, config.confirm, context.log
            )
            ledger = backup.restore_builds(current, tables, restored) if config.build_ledger else []
        context.add_output_metadata(
            {
                "backup": restored.name,
                "tables and views, compared": len(restored.totals),
                "rows": sum(total.rows for total in restored.totals.values()),
                "build ledger put back for": ", ".join(ledger) or "none",
            }
        )

    @dg.op
    @in_our_words
    def vacuum(context: dg.OpExecutionContext) -> None:
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
        context.add_output_metadata(
            {
                "files deleted": sum(table.files for table in done),
                "bytes deleted": sum(table.bytes for table in done),
                "by table": dg.MetadataValue.md(
                    rows_as_markdown([vars(t) for t in done if t.files or t.log_files])
                ),
                "leftovers in scratch": leftovers,
                "bytes of leftovers": size,
            }
        )

    @dg.op
    @in_our_words
    def read_again(context: dg.OpExecutionContext, config: ScrubLake) -> None:
        current = settings.load()
        share = config.percent or current.scrub_share_percent
        done = scrub.scrub(open_lake(current.lake), tables, share, now())
        context.add_output_metadata(
            {"files": done.files, "bytes": done.bytes, "seconds": round(done.seconds, 1)}
        )
        if done.damaged:
            raise dg.Failure("\n".join(done.damaged), allow_retries=False)

    @dg.op
    @in_our_words
    def archive_old(context: dg.OpExecutionContext, config: ArchivePartitions) -> None:
        def archived(lake: Lake, table: Table, folder: Path) -> list[archive.Archived]:
            run_id = context.run_id
            return archive.archive(lake, tables, table, config.before, folder, run_id, now())

        _move(context, tables, config, archived)

    @dg.op
    @in_our_words
    def restore_archived(context: dg.OpExecutionContext, config: RestoreArchive) -> None:
        def restored(lake: Lake, table: Table, folder: Path) -> list[archive.Archived]:
            return archive.restore(lake, table, config.partitions, folder, context.run_id)

        _move(context, tables, config, restored)

    backup_production = one_op_job(
        "backup_production",
        back_up,
        "Dump production and the build ledger into BACKUP_FOLDER, prove it by restoring it into"
        " another database and comparing, then delete backups that have had their time.",
    )
    restore_production = one_op_job(
        "restore_production",
        restore,
        "Put a backup into a database, compared with what was dumped. Production itself only if its"
        " name is repeated; what the warehouse has since is then promoted again.",
    )
    vacuum_lake = one_op_job(
        "vacuum_lake",
        vacuum,
        "Delete files of the lake that no version of the last LAKE_RETENTION_DAYS needs, shorten"
        " its logs, and clear the scratch folder.",
    )
    scrub_lake = one_op_job(
        "scrub_lake",
        read_again,
        "Read a share of the lake's live files again, and all logs, and compare them with their"
        " checksums. What is damaged is put aside and built anew by the next run.",
    )
    archive_partitions = one_op_job(
        "archive_partitions",
        archive_old,
        "Move old partitions of a table that is not in production into a folder. What was computed"
        " from them stays, and waits for them if it is to be built anew.",
    )
    restore_archive = one_op_job(
        "restore_archive", restore_archived, "Bring archived partitions back as they were."
    )
    jobs = (backup_production, restore_production, vacuum_lake, scrub_lake)
    return dg.Definitions(
        jobs=[*jobs, archive_partitions, restore_archive],
        schedules=[
            _schedule(backup_production, "nightly", "0 5 * * *"),
            # An hour before sources are looked at, so that what it finds is mended the same night.
            _schedule(scrub_lake, "nightly", "0 2 * * *"),
            _schedule(vacuum_lake, "weekly", "0 6 * * 0"),
        ],
    )


def _schedule(job: dg.JobDefinition, name: str, cron: str) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name=f"{job.name}_{name}",
        job=job,
        cron_schedule=cron,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=job.description,
    )


def _named(tables: Sequence[Table], key: str) -> Table:
    for table in tables:
        if table.key == key:
            return table
    raise archive.ArchiveError(f"There is no table {key!r}. Write <domain>/<table>")


def _move(
    context: dg.OpExecutionContext,
    tables: Sequence[Table],
    config: ArchivePartitions | RestoreArchive,
    move: Callable[[Lake, Table, Path], list[archive.Archived]],
) -> None:
    """Move partitions of a table out of the lake or back, and say which."""
    current = settings.load()
    lake = open_lake(current.lake)
    folder = Path(config.folder).absolute() if config.folder else current.home / "archive"
    with explained(*_REASONS):
        table = _named(tables, config.table)
        done = move(lake, table, folder)
    refresh_catalogue(current, Snapshot(lake), [table])
    context.add_output_metadata(
        {
            "partitions": ", ".join(archived.partition for archived in done) or "none",
            "rows": sum(archived.rows for archived in done),
            "bytes": sum(archived.bytes for archived in done),
            "folders": dg.MetadataValue.md(
                rows_as_markdown([{"folder": archived.folder} for archived in done])
            ),
        }
    )
