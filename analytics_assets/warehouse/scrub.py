"""Reading the lake's live files again, so that damage is found while it can be mended.

Belongs here: which files are read in a night, and what was found.
Does not belong here: comparing a file with its checksum (``integrity.py``), or mending it
(``mending.py``).
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from analytics_assets.core.declaration import Table
from analytics_assets.warehouse import integrity
from analytics_assets.warehouse.delta_log import LOG, DamagedLog, log_faults
from analytics_assets.warehouse.lake import Lake, StoredFile
from analytics_assets.warehouse.ledger import BuildLedger

_DAY = 86_400


class Share:
    """``percent`` of all things, chosen by the date of ``as_of``: that is all that has to be
    remembered of where it stopped. On consecutive days all come up once in ``100 / percent``."""

    def __init__(self, percent: float, as_of: datetime) -> None:
        self._nights = math.ceil(100 / max(percent, 0.1))
        self._tonight = int(as_of.timestamp()) // _DAY % self._nights

    def has(self, word: str) -> bool:
        """Whether what is called so is among them."""
        return int(sha256(word.encode()).hexdigest()[:8], 16) % self._nights == self._tonight


@dataclass
class Scrubbed:
    """What was read, and a sentence for each thing that is damaged."""

    files: int = 0
    bytes: int = 0
    seconds: float = 0.0
    damaged: list[str] = field(default_factory=list)


def scrub(lake: Lake, tables: Sequence[Table], percent: float, as_of: datetime) -> Scrubbed:
    """Read ``percent`` of the live files, chosen by the date, and all logs."""
    started = time.monotonic()
    done, tonight = Scrubbed(), Share(percent, as_of)
    for table in tables:
        done.damaged += _log_faults(lake, table.key)
        try:
            files = [f for f in lake.files(table) if tonight.has(_folder(f))]
        except DamagedLog as error:
            done.damaged.append(str(error))
            continue
        done.files += len(files)
        done.bytes += sum(file.bytes for file in files)
        done.damaged += map(str, integrity.damaged(lake, files, again=True))
    done.damaged += _log_faults(lake, BuildLedger.NAME)
    try:
        if lost := BuildLedger(lake).damaged():
            done.damaged.append(
                f"{BuildLedger.NAME}: {lost:,} entries are damaged. The next run builds their"
                " partitions anew"
            )
    except DamagedLog as error:
        done.damaged.append(str(error))
    done.seconds = time.monotonic() - started
    return done


def _log_faults(lake: Lake, name: str) -> list[str]:
    fs, path = lake.folder(name)
    return [
        f"{name}: the file {lake.root}/{name}/{LOG}/{file} of its log: {why}. Run"
        " `analytics-assets repair`"
        for file, why in sorted(log_faults(fs, path).items())
    ]


def _folder(file: StoredFile) -> str:
    """Files of one storage key are read together."""
    return file.uri.rsplit("/", 1)[0]
