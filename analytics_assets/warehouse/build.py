"""Build, audit, publish: the one way in which rows get into the lake.

Belongs here: judging a table's staged partitions and publishing the good ones, in one Delta
transaction for each chunk.
Does not belong here: where rows come from (``staging.py``), Dagster (``table_assets.py``), or
deciding which partitions to build (``automation``).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import duckdb

from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import UNPARTITIONED
from analytics_assets.core.source import SourceError
from analytics_assets.warehouse.audit import CONTRACT, Audit, Finding, audit, audit_names
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.confirming import replaced, softened
from analytics_assets.warehouse.expectations import expect, expectation_names
from analytics_assets.warehouse.integrity import published_words
from analytics_assets.warehouse.lake import StoredFile, by_key, partition_of
from analytics_assets.warehouse.leases import Lease
from analytics_assets.warehouse.ledger import Build, now
from analytics_assets.warehouse.mending import (
    changed_by_mending,
    damaged_inputs,
    damaged_live,
    lost,
    mend,
)
from analytics_assets.warehouse.outcome import Outcome, refused, unavailable
from analytics_assets.warehouse.quarantine import Quarantine
from analytics_assets.warehouse.refused import is_withdrawn, missing
from analytics_assets.warehouse.session import expose
from analytics_assets.warehouse.staging import Staged, Staging

# Partitions are computed together until they read this much. Small ones share the cost of a
# statement and a commit; a large one is written alone, without sorting rows into partitions.
CHUNK_BYTES = 6 * 2**20
# Partitions of a source are staged one by one, and share the cost of the audit and of the commit.
LANDED_TOGETHER = 16
_COMPLETE = "Build these first, or mend what makes their checks fail."


def check_names(table: Table) -> list[str]:
    """All checks of a table, in the order in which they are made."""
    return audit_names(table) + expectation_names(table)


class Builder:
    """Builds tables in one DuckDB session, against one snapshot of the lake."""

    def __init__(
        self,
        session: duckdb.DuckDBPyConnection,
        snapshot: Snapshot,
        run_id: str,
        log: logging.Logger,
        lease: Lease | None = None,
    ) -> None:
        self._session = session
        self._snapshot = snapshot
        self._lake = snapshot.lake
        self._run_id = run_id
        self._log = log
        self._lease = lease
        self._staging = Staging(session, snapshot, run_id)

    def build(self, table: Table, partitions: Sequence[str]) -> Outcome:
        """Build partitions; what fails is in the outcome and leaves the live table as it was."""
        outcome = Outcome(table)
        mended = mend(self._snapshot, table, partitions, self._run_id)
        outcome.findings += mended.findings
        outcome.rows |= mended.rows
        outcome.changed += mended.rows
        partitions = [key for key in partitions if key not in mended.rows]
        wanted = self._wanted(table, partitions, outcome)
        ready = [key for key in wanted if self._is_ready(table, key, outcome)]
        outcome.findings += lost(self._snapshot, table, set(partitions) - set(wanted))
        outcome.judged = {key for key in ready if self._only_judged(table, key)}
        builds = self._judge(table, [key for key in ready if key in outcome.judged], outcome)
        rebuilt = [key for key in ready if key not in outcome.judged]
        for chunk in self._chunks(table, rebuilt):
            builds += self._build_chunk(table, chunk, outcome)
            if outcome.unavailable:
                # Nothing is put aside in the ledger, so all of them are asked for again.
                key, error = outcome.unavailable
                outcome.untried = rebuilt[rebuilt.index(key) + 1 :]
                outcome.findings.append(unavailable(key, error, len(outcome.untried)))
                break
            if len(ready) > len(chunk):
                self._log.info("%s: %d of %d partitions built", table.key, len(builds), len(ready))
        for key in outcome.withdrawn:
            entry = self._snapshot.entry_of(table, key)
            builds += [replace(entry, refused="", blocked_by="")] if entry else []
        self._snapshot.ledger.record(builds)
        self._snapshot.forget(table, builds)
        well = [key for key in ready if key not in outcome.quarantined]
        outcome.released = Quarantine(self._lake, table).release(well)
        built = [key for key in ready if key in outcome.rows and key not in outcome.missing]
        self._expect(table, built, partitions, outcome)
        outcome.version = self._lake.version(table)
        return outcome

    def _wanted(self, table: Table, partitions: Sequence[str], outcome: Outcome) -> list[str]:
        """Those of the partitions of which something is to be built or judged."""
        fed = set(self._snapshot.candidates(table))
        wanted = []
        for key in partitions:
            live = self._snapshot.build_of(table, key)
            if key in fed:
                wanted.append(key)
                continue
            outcome.missing.append(key)
            if is_withdrawn(self._snapshot, table, key):
                outcome.withdrawn.append(key)
            if live is None:
                outcome.absent.append(key)
            elif table.source is None or self._only_judged(table, key):
                wanted.append(key)
            else:
                # A source file that is gone takes nothing away: what was landed stays.
                outcome.rows[key] = live.rows
        return wanted

    def _only_judged(self, table: Table, partition: str) -> bool:
        """Whether its live rows are judged and not built: they are right, or cannot be built."""
        if partition in self._snapshot.broken(table):
            return False
        if self._snapshot.is_unjudged(table, partition):
            return True
        gone = self._snapshot.is_gone(table, partition)
        return gone and partition in self._snapshot.failing(table)

    def _judge(self, table: Table, partitions: list[str], outcome: Outcome) -> list[Build]:
        """Audit live rows by a newer contract; nothing is written but the verdict."""
        verdicts = []
        for chunk in self._chunks(table, partitions):
            for upstream in table.upstream:
                files = self._snapshot.feeding(upstream, table, chunk)
                expose(self._session, upstream, [file.uri for file in files])
            live = [f for f in self._snapshot.files(table) if partition_of(table, f.key) in chunk]
            expose(self._session, table, [file.uri for file in live])
            audited = audit(self._session, table, chunk, self._rows_read(table, chunk))
            self._quarantine(table, audited, audited.rows, outcome)
            self._tell(table, audited, outcome)
            for key in chunk:
                build = self._snapshot.build_of(table, key)
                assert build is not None
                failed = [f.check for f in audited.findings if f.blocking and f.partition == key]
                verdicts.append(self._snapshot.verdict(build, table, failed))
                outcome.rows[key] = build.rows
                outcome.reports[key] = {"judged anew": True}
        return verdicts

    def _tell(self, table: Table, audited: Audit, outcome: Outcome) -> None:
        outcome.findings += audited.findings
        for finding in audited.findings:
            self._log.warning("%s %s: %s", table.key, finding.partition, finding.summary)

    def _expect(
        self, table: Table, partitions: list[str], tested: Sequence[str], outcome: Outcome
    ) -> None:
        expected = expect(self._session, self._snapshot, table, partitions, tested)
        for finding in expected.findings:
            self._log.warning("%s %s", table.key, finding.message)
        outcome.findings += expected.findings
        outcome.compared = expected.compared

    def _is_ready(self, table: Table, partition: str, outcome: Outcome) -> bool:
        unusable = damaged_inputs(self._snapshot, table, partition)
        if unusable:
            outcome.findings.append(unusable)
            return False
        waiting = self._snapshot.waiting_for(table, partition)
        if waiting:
            rows = [{"missing upstream partition": name} for name in waiting]
            more = f" and {len(waiting) - 3} more" if len(waiting) > 3 else ""
            outcome.findings.append(
                Finding(
                    CONTRACT,
                    partition,
                    f"upstream partitions were not built yet: {', '.join(waiting[:3])}{more}",
                    rows,
                    advice=_COMPLETE,
                )
            )
        return not waiting

    def _chunks(self, table: Table, partitions: list[str]) -> Iterable[list[str]]:
        """Partitions to compute together, so that their inputs fit ``CHUNK_BYTES``."""
        if table.source is not None:
            size = 1 if table.slice_sql else LANDED_TOGETHER
            yield from (partitions[at : at + size] for at in range(0, len(partitions), size))
            return
        chunk: list[str] = []
        read: dict[str, int] = {}
        limit = 0
        for partition in partitions:
            needed = {
                file.uri: file.bytes
                for upstream in table.upstream
                for file in self._snapshot.feeding(upstream, table, [partition])
            }
            if chunk and sum((read | needed).values()) > limit:
                yield chunk
                chunk, read = [], {}
            if not chunk:
                # Neighbours that reach over the same days share them: read those twice at most.
                limit = max(CHUNK_BYTES, 2 * sum(needed.values()) if table.reach else 0)
            chunk.append(partition)
            read |= needed
        if chunk:
            yield chunk

    def _build_chunk(self, table: Table, chunk: list[str], outcome: Outcome) -> list[Build]:
        """The new ledger entries; of partitions before one whose source is away only these."""
        inputs = {key: self._snapshot.inputs(table, key) for key in chunk}
        staged = Staged()
        try:
            self._staging.stage(table, chunk, outcome.reports, staged)
            for key in chunk:
                if lacks := missing(self._snapshot, table, key):
                    more = f" and {len(lacks) - 10} more" if len(lacks) > 10 else ""
                    said = f"{', '.join(lacks[:10])}{more}"
                    outcome.reports.setdefault(key, {})["built without"] = said
            if staged.unavailable:
                outcome.unavailable = staged.unavailable
                chunk = chunk[: chunk.index(staged.unavailable[0])]
            audited = self._audit(table, chunk, staged, outcome)
        except (SourceError, duckdb.ConversionException) as error:
            self._lake.discard(staged.files)
            if len(chunk) > 1:
                # One of them is bad; the others are not held back for it.
                return [
                    build for key in chunk for build in self._build_chunk(table, [key], outcome)
                ]
            found = [refused(chunk[0], error)]
            outcome.findings += found
            # What can pass is asked for again.
            can_pass = isinstance(error, SourceError) and error.passes
            return [] if can_pass else self._refusals(table, found)
        except BaseException:
            self._lake.discard(staged.files)
            raise
        self._tell(table, audited, outcome)
        builds = self._publish_good(table, inputs, chunk, staged, audited, outcome)
        return builds + self._refusals(table, audited.findings)

    def _audit(self, table: Table, chunk: list[str], staged: Staged, outcome: Outcome) -> Audit:
        """Judge what is staged; ``SourceError`` if it is not what was read."""
        expose(self._session, table, [file.uri for file in staged.files])
        rows_read = self._rows_read(table, chunk)
        whole = self._whole(table, staged)
        live = replaced(self._snapshot, table, chunk)
        audited = audit(self._session, table, chunk, rows_read, whole, live)
        audited = softened(self._snapshot, table, audited)
        _refuse_moving_input(table, staged.read, audited.fingerprints)
        self._quarantine(table, audited, audited.rows.keys() | staged.same.keys(), outcome)
        return audited

    def _publish_good(
        self,
        table: Table,
        inputs: Mapping[str, Mapping[str, str]],
        chunk: list[str],
        staged: Staged,
        audited: Audit,
        outcome: Outcome,
    ) -> list[Build]:
        """Publish the partitions that passed; their ledger entries."""
        failed = audited.failed()
        good = [key for key in chunk if key not in failed]
        files = [replace(f, fingerprint=audited.fingerprints[f.key]) for f in staged.files]
        self._publish(table, good, files, staged.same.keys(), outcome)
        live = self._snapshot.files(table)
        word = published_words(table, files + [f for f in live if f.key in staged.same])
        outcome.findings += changed_by_mending(self._snapshot, table, good, inputs, word)
        counts = dict.fromkeys(good, 0)
        for key, count in (staged.same | audited.rows).items():
            if partition_of(table, key) in counts:
                counts[partition_of(table, key)] += count
        outcome.rows.update(counts)
        code, run_id = table.code_version, self._run_id
        builds = [
            Build(table.key, key, code, inputs[key], rows, run_id, now(), published=word(key))
            for key, rows in counts.items()
        ]
        return [self._snapshot.verdict(build, table) for build in builds]

    def _quarantine(
        self, table: Table, audited: Audit, judged: Collection[str], outcome: Outcome
    ) -> None:
        """Keep the rows by which staged partitions fail, of these storage keys."""
        quarantine = Quarantine(self._lake, table)
        failed: dict[str, set[str]] = {}
        for finding in audited.findings:
            if finding.blocking:
                failed.setdefault(finding.partition, set()).add(finding.check)
        for partition, checks in failed.items():
            keys = [key for key in judged if partition_of(table, key) == partition]
            count = quarantine.keep(self._session, partition, keys, checks, self._run_id, now())
            if count:
                outcome.quarantined[partition] = count
                if file := quarantine.csv(partition):
                    outcome.failure_files[partition] = file

    def _refusals(self, table: Table, findings: list[Finding]) -> list[Build]:
        checks: dict[str, list[str]] = {}
        for finding in findings:
            if finding.blocking:
                checks.setdefault(finding.partition, []).append(finding.check)
        return [
            self._snapshot.refusal(table, partition, names, self._run_id)
            for partition, names in checks.items()
        ]

    def recheck(self, table: Table) -> Outcome:
        """Audit what is live, all of it, and publish nothing."""
        outcome = Outcome(table)
        files = self._snapshot.files(table)
        outcome.findings = damaged_live(self._snapshot, table)
        if outcome.findings:
            return outcome
        partitions = sorted({partition_of(table, file.key) for file in files})
        for upstream in table.upstream:
            expose(self._session, upstream, [f.uri for f in self._snapshot.files(upstream)])
        expose(self._session, table, [file.uri for file in files])
        rows_read = self._rows_read(table, partitions)
        outcome.findings = audit(self._session, table, partitions, rows_read).findings
        self._expect(table, partitions, [], outcome)
        return outcome

    def _whole(self, table: Table, staged: Staged) -> list[str]:
        """Files of what is staged and of the slices that need not be, where checks want them."""
        if not table.checks or not staged.same:
            return []
        live = by_key(self._snapshot.files(table))
        slices = [uri for key in staged.same for uri in live[key].uris]
        return [file.uri for file in staged.files] + slices

    def _rows_read(self, table: Table, chunk: list[str]) -> dict[str, int] | None:
        """Upstream rows of each partition, where each must give one row."""
        if not table.keeps_rows:
            return None
        return {
            key: sum(
                file.rows
                for upstream in table.upstream
                for file in self._snapshot.feeding(upstream, table, [key])
                if upstream.period is not UNPARTITIONED or table.period is UNPARTITIONED
            )
            for key in chunk
        }

    def _publish(
        self,
        table: Table,
        good: list[str],
        staged: list[StoredFile],
        same: Collection[str],
        outcome: Outcome,
    ) -> None:
        """Publish the storage keys that differ from the live ones; throw away the rest."""
        partitions = set(good)
        trusted = {file.uri for file in self._snapshot.trusted(table)}
        known = {file.uri for file in self._snapshot.files(table)}
        live = {
            # What is broken is replaced by equal rows, too.
            file.key: file.fingerprint if file.uri in trusted or file.uri not in known else ""
            for file in self._lake.files(table)
            if partition_of(table, file.key) in partitions
        }
        new = {f.key: f.fingerprint for f in staged if partition_of(table, f.key) in partitions}
        changed = {key for key in live.keys() | new.keys() if live.get(key) != new.get(key)}
        changed -= set(same)
        self._lake.discard([file for file in staged if file.key not in changed])
        if changed:
            if self._lease:
                self._lease.check()
            notes = {"run_id": self._run_id, "code_version": table.code_version}
            self._lake.publish(table, [f for f in staged if f.key in changed], changed, notes)
            outcome.changed += sorted({partition_of(table, key) for key in changed})


def _refuse_moving_input(table: Table, read: dict[str, str], staged: dict[str, str]) -> None:
    """``SourceError`` if what was written is not what was read before it was judged."""
    moved = sorted(key for key in staged if key in read and staged[key] != read[key])
    if moved:
        raise SourceError(
            "the input changed while it was being read", table.key, "Run again when it is complete"
        )
