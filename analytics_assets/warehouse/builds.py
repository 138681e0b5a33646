"""What each live partition was built from, and so which partitions are behind.

Belongs here: the comparison of what a partition was built from, and judged by, with what there is
now.
Does not belong here: keeping it (``ledger.py``), building, or deciding when to build.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import UNPARTITIONED, shifted
from analytics_assets.warehouse import refused
from analytics_assets.warehouse.behind import (
    ARCHIVED,
    CHANGED,
    CONFIRMED,
    FAILS,
    ROLLED_BACK,
    Behind,
    Unsettled,
    input_word,
    recipe,
    together,
    tried,
)
from analytics_assets.warehouse.integrity import MENDED, DamagedFiles, verify
from analytics_assets.warehouse.lake import (
    Lake,
    StoredFile,
    fed_partitions,
    partition_of,
    read_whole,
)
from analytics_assets.warehouse.ledger import Build, BuildLedger, now
from analytics_assets.warehouse.soundness import Soundness, judge


class Snapshot:
    """The lake and its ledger as they are at one moment; every look-up is answered from it.

    Tables are read when first asked for, and again after ``forget``.
    """

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.ledger = BuildLedger(lake)
        self._builds = self.ledger.read()
        self._files: dict[str, list[StoredFile]] = {}
        self._sources: dict[str, Mapping[str, Mapping[str, str]]] = {}
        self._fed: dict[tuple[str, str], dict[str, list[StoredFile]]] = {}
        self._never_built: dict[str, list[str]] = {}
        self._waiting: dict[tuple[str, str], list[str]] = {}
        self._archives: dict[str, set[str]] = {}
        self._soundness: dict[str, Soundness] = {}

    def files(self, table: Table) -> list[StoredFile]:
        """The table's live files."""
        if table.key not in self._files:
            self._files[table.key] = self.lake.files(table)
        return self._files[table.key]

    def soundness(self, table: Table) -> Soundness:
        """Whether what is live is what was published."""
        if table.key not in self._soundness:
            entries = self._builds.get(table.key, {})
            self._soundness[table.key] = judge(self.lake, table, self.files(table), entries)
        return self._soundness[table.key]

    def sound(self, table: Table) -> list[StoredFile]:
        """The live files that are there, in their size."""
        return [f for f in self.files(table) if f.uri not in self.soundness(table).unsound]

    def broken(self, table: Table) -> Mapping[str, str]:
        """Partition -> why what is live of it must not be used."""
        return self.soundness(table).broken

    def trusted(self, table: Table) -> list[StoredFile]:
        """The live files that need not be written again where a build gives their rows.

        A number of another type has the same fingerprint, and lies otherwise.
        """
        entries = self._builds.get(table.key, {})
        same = {
            text: table.meaning.has_columns_of(text)
            for text in {e.meaning for e in entries.values()}
        }
        other = {key for key, entry in entries.items() if not same[entry.meaning]}
        anew = self.broken(table).keys() | other
        return [f for f in self.files(table) if partition_of(table, f.key) not in anew]

    def verify(self, table: Table, partitions: Iterable[str]) -> None:
        """Raise ``DamagedFiles`` unless what is live of these partitions is what was published."""
        chosen = set(partitions)
        verify(self.lake, [f for f in self.files(table) if partition_of(table, f.key) in chosen])
        for key in sorted(chosen & self.broken(table).keys()):
            raise DamagedFiles(f"{table.key} {key}: {self.broken(table)[key]}. {MENDED}")

    def forget(self, table: Table, builds: Iterable[Build] = ()) -> None:
        """The table has a new version, and these are its new entries."""
        self._files.pop(table.key, None)
        self._soundness.pop(table.key, None)
        self._fed = {names: fed for names, fed in self._fed.items() if names[0] != table.key}
        self._never_built.clear()
        self._waiting.clear()
        self._archives.clear()
        for build in builds:
            self._builds.setdefault(table.key, {})[build.partition] = build

    def build_of(self, table: Table, partition: str) -> Build | None:
        """The ledger entry of a live partition."""
        build = self.entry_of(table, partition)
        return build if build and build.live else None

    def live(self, table: Table) -> list[str]:
        """The partitions that the ledger calls live."""
        return sorted(key for key, one in self._builds.get(table.key, {}).items() if one.live)

    def entry_of(self, table: Table, partition: str) -> Build | None:
        """The ledger entry of a partition, also of one that was never published."""
        return self._builds.get(table.key, {}).get(partition)

    def refusal(self, table: Table, partition: str, checks: Iterable[str], run_id: str) -> Build:
        """The entry of a partition whose build, from what there is now, failed these checks."""
        build = self.entry_of(table, partition)
        if build and build.fails and self.is_current(table, partition):
            # It was materialised by hand: its live rows still fail.
            return self.verdict(build, table, checks)
        if build is None:
            build = Build(table.key, partition, "", {}, 0, run_id, now())
        what = tried(table, self.inputs(table, partition))
        return replace(build, refused=what, blocked_by=together(checks))

    def verdict(self, build: Build, table: Table, checks: Iterable[str] = ()) -> Build:
        """The entry of a partition whose live rows were judged, and fail these checks."""
        return replace(
            build,
            contract_version=table.contract_version,
            meaning=table.meaning.text,
            fails=together(checks),
        )

    def is_current(self, table: Table, partition: str) -> bool:
        """Whether the live rows are what would be built now.

        A source file that is gone takes nothing away.
        """
        build = self.build_of(table, partition)
        if build is None or build.code_version != table.code_version:
            return False
        inputs = self.inputs(table, partition)
        return inputs == build.inputs or (table.source is not None and not inputs)

    def is_unjudged(self, table: Table, partition: str) -> bool:
        """Whether the live rows are right, and only a newer contract has yet to judge them."""
        build = self.build_of(table, partition)
        judged = build is not None and build.contract_version == table.contract_version
        return not judged and self.is_current(table, partition)

    def failing(self, table: Table) -> set[str]:
        """Partitions whose live rows fail a contract that is newer than they are."""
        return {k for k, one in self._builds.get(table.key, {}).items() if one.live and one.fails}

    def blocked_by(self, table: Table, check: str) -> list[str]:
        """Partitions whose last build failed this check, and that were not mended since."""
        entries = self._builds.get(table.key, {})
        return sorted(
            key
            for key, build in entries.items()
            if check in build.blocked_by.split(",") or check in build.fails.split(",")
        )

    def inputs(self, table: Table, partition: str) -> dict[str, str]:
        """What the partition would be built from now: name -> fingerprint; empty if nothing is."""
        if table.source is not None:
            return dict(self._landed(table).get(partition, {}))
        return {
            f"{upstream.key}@{file.key}": file.fingerprint
            for upstream in table.upstream
            for file in self.feeding(upstream, table, [partition])
        }

    def is_gone(self, table: Table, partition: str) -> bool:
        """Whether it comes from a source that does not offer it any more."""
        return table.source is not None and partition not in self._landed(table)

    def _landed(self, table: Table) -> Mapping[str, Mapping[str, str]]:
        assert table.source is not None
        if table.key not in self._sources:
            self._sources[table.key] = table.source.inputs()
        return self._sources[table.key]

    def feeding(
        self, upstream: Table, reader: Table, partitions: Iterable[str]
    ) -> list[StoredFile]:
        """Files of ``upstream`` that any of the reader's partitions is computed from."""
        if read_whole(upstream, reader):
            return self.files(upstream)
        readers = self._readers(upstream, reader)
        found = {file.uri: file for key in partitions for file in readers.get(key, ())}
        return list(found.values())

    def _readers(self, upstream: Table, reader: Table) -> dict[str, list[StoredFile]]:
        """Partition of the reader -> files of ``upstream``; worked out once for all partitions."""
        names = (upstream.key, reader.key)
        if names not in self._fed:
            found: dict[str, list[StoredFile]] = {}
            for file in self.files(upstream):
                for partition in fed_partitions(upstream, reader, file.key):
                    found.setdefault(partition, []).append(file)
            self._fed[names] = found
        return self._fed[names]

    def candidates(self, table: Table) -> list[str]:
        """Partitions for which there is input, on the very days where a table is read beyond."""
        if table.source is not None:
            return sorted(self._landed(table))
        if table.period is UNPARTITIONED:
            return [UNPARTITIONED.only_key] if any(map(self.files, table.upstream)) else []
        found: set[str] = set()
        for upstream in table.upstream:
            if not read_whole(upstream, table) and table.reach_of(upstream) == (0, 0):
                found.update(self._readers(upstream, table))
        return sorted(found)

    def waiting_for(self, table: Table, partition: str) -> list[str]:
        """Partitions upstream that have input but were never built, or are in the archive.

        Without them a sum is short. They may be far: what is computed from them is then not even
        known to be there. What was computed from an archived one keeps its rows and is read.
        """
        near = (
            name
            for upstream in table.upstream
            for name in refused.touched(table, partition, upstream, self._archived(upstream))
        )
        return list(dict.fromkeys([*near, *self._lacking(table, partition)]))

    def _lacking(self, table: Table, partition: str) -> list[str]:
        """Partitions upstream, near or far, that were never built but have input."""
        if (table.key, partition) not in self._waiting:
            found: dict[str, None] = {}
            for upstream in table.upstream:
                first = refused.awaited(self, table, upstream)
                found |= dict.fromkeys(refused.touched(table, partition, upstream, first))
                if UNPARTITIONED not in (table.period, upstream.period):
                    reach = table.reach_of(upstream)
                    window = shifted(table.period.window(partition), reach)
                    for key in upstream.period.keys_between(*window):
                        found |= dict.fromkeys(self._lacking(upstream, key))
                elif table.period is not UNPARTITIONED and not refused.goes_without(
                    table, upstream
                ):
                    found |= dict.fromkeys(self._lacked_by_all_time(upstream))
            self._waiting[table.key, partition] = list(found)
        return self._waiting[table.key, partition]

    def _lacked_by_all_time(self, table: Table) -> list[str]:
        # Kept beside what partitions wait for: thousands of them may read the same table.
        place = (table.key, "built without")
        if place not in self._waiting:
            self._waiting[place] = refused.missing(self, table, UNPARTITIONED.only_key)
        return self._waiting[place]

    def was_refused(self, table: Table, partition: str) -> bool:
        """Whether it was never built, as its input is refused as it is."""
        build = self.entry_of(table, partition)
        if not build or build.live or not build.refused:
            return False
        what = tried(table, self.inputs(table, partition))
        return self._judged(Behind(table, partition, "", what, refused=False), build).refused

    def unbuilt(self, table: Table) -> list[str]:
        """Partitions that have input only."""
        if table.key not in self._never_built:
            archived = self._archived(table)
            self._never_built[table.key] = [
                key
                for key in self.candidates(table)
                if self.build_of(table, key) is None and key not in archived
            ]
        return self._never_built[table.key]

    def _archived(self, table: Table) -> set[str]:
        if table.key not in self._archives:
            self._archives[table.key] = {
                key
                for key, build in self._builds.get(table.key, {}).items()
                if build.blocked_by == ARCHIVED and not build.live
            }
        return self._archives[table.key]

    def behind(self, table: Table) -> list[Behind]:
        """Partitions to rebuild or to judge anew, but for those whose inputs are not complete yet.

        A partition whose input is gone is rebuilt, and so emptied; but a source file that is gone
        takes nothing away. An archived partition is not behind while its input is as it was.
        """
        broken = self.broken(table)
        entries = self._builds.get(table.key, {})
        known = {
            key
            for key, one in entries.items()
            if one.live or refused.is_withdrawn(self, table, key)
        }
        found = []
        for partition in sorted(known.union(self.candidates(table), broken)):
            inputs = self.inputs(table, partition)
            if why := broken.get(partition):
                # What failed, or was rolled back, keeps what is live, which has to be mended.
                attempt = self._attempt(table, partition, tried(table, inputs))
                found.append(Behind(table, partition, why, attempt, refused=False))
                continue
            why = self._why(table, partition, inputs)
            if why and not self.waiting_for(table, partition):
                behind = Behind(table, partition, why, tried(table, inputs), refused=False)
                judged = self._judged(behind, entries.get(partition))
                if judged.blocked_by != ARCHIVED:
                    attempt = self._attempt(table, partition, judged.recipe)
                    found.append(replace(judged, recipe=attempt))
        return found

    def unsettled(self, table: Table) -> list[Unsettled]:
        """Live partitions that are not what their inputs would give now, whatever they wait for,
        those that fail a newer rule or are not judged by it yet, and those that are damaged.

        What was rolled back or archived is as it should be. Sources are not looked at.
        """
        found = [Unsettled(table, *why) for why in sorted(self.broken(table).items())]
        entries = self._builds.get(table.key, {}) if table.source is None else {}
        for partition, build in sorted(entries.items()):
            inputs = self.inputs(table, partition)
            why = self._why(table, partition, inputs) if build.live else None
            differs = build.code_version != table.code_version or build.inputs != inputs
            if not why or not (differs or build.fails or self.is_unjudged(table, partition)):
                continue
            behind = Behind(table, partition, why, tried(table, inputs), refused=False)
            judged = self._judged(behind, build)
            if judged.blocked_by in (ARCHIVED, ROLLED_BACK):
                continue
            if judged.blocked_by:
                why = f"refused by {judged.blocked_by.replace(',', ', ')}"
            names = {
                n for n in inputs.keys() | build.inputs if inputs.get(n) != build.inputs.get(n)
            }
            lacks = frozenset(name.split("@")[0] for name in names)
            found.append(Unsettled(table, partition, why, differs, lacks))
        return found

    def _judged(self, behind: Behind, build: Build | None) -> Behind:
        """What is known of trying it."""
        if build is None:
            return behind
        # What a contract refused another one may accept; what people put aside stays there.
        known = {behind.recipe, behind.recipe.split()[0]}
        if build.blocked_by == ARCHIVED:
            # It stays there while its input is as it was, whatever would be made of it now.
            known.add(input_word(behind.table, self.inputs(behind.table, behind.partition)))
        if build.refused in known and build.blocked_by != CONFIRMED:
            return replace(behind, refused=True, blocked_by=build.blocked_by)
        if self.is_unjudged(behind.table, behind.partition):
            return replace(behind, unjudged=True)
        return replace(behind, refused=behind.why.startswith(FAILS))

    def _attempt(self, table: Table, partition: str, what: str) -> str:
        """What is tried, with the very files: mended ones, with equal rows, are worth another."""
        feeding = [f for up in table.upstream for f in self.feeding(up, table, [partition])]
        own = self.files(table) if partition in self.broken(table) else []
        read = [file.uri for file in (*feeding, *own)]
        return hashlib.sha256(repr([what, sorted(read)]).encode()).hexdigest()[:16]

    def _why(self, table: Table, partition: str, inputs: Mapping[str, str]) -> str | None:
        build = self.build_of(table, partition)
        if refused.is_withdrawn(self, table, partition):
            return refused.WITHDRAWN
        if build is None:
            return "never built"
        gone = self.is_gone(table, partition)
        if build.code_version != table.code_version:
            return None if gone else table.meaning.changed_rows(build.meaning)
        changed = sorted(
            name
            for name in inputs.keys() | build.inputs.keys()
            if inputs.get(name) != build.inputs.get(name)
        )
        if changed and not gone:
            return f"{CHANGED}: {', '.join(changed[:5])}"
        if not changed and partition in self.soundness(table).unended:
            return "the run that published it did not end"
        if build.contract_version != table.contract_version:
            return table.meaning.changed_contract(build.meaning)
        if build.fails:
            return f"{FAILS}{build.fails.replace(',', ', ')}, which is newer than its rows"
        if build.refused and not gone and build.refused.split()[0] != recipe(table, inputs):
            # Rebuilding changes nothing, but tells people that the partition is well again.
            return refused.WITHDRAWN
        return None
