"""What it means to be behind, and the words by which one try to build is told from another.

Belongs here: a partition that is behind or not settled, and what is equal of two tries.
Does not belong here: finding such partitions (``builds.py``), keeping tries (``ledger.py``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from analytics_assets.core.declaration import Table

ARCHIVED, ROLLED_BACK, CONFIRMED = "archived", "rolled_back", "confirmed"
# How the reason begins where inputs changed, and where live rows fail a rule that is newer.
CHANGED, FAILS = "changed since", "fails "


@dataclass(frozen=True)
class Behind:
    """A partition that is not what its inputs would give now, and why.

    ``refused``: it was tried with these very inputs and failed its audit, or its live rows fail a
    newer contract, so that trying again cannot help; ``blocked_by`` are the checks that a build
    failed. ``unjudged``: its rows are right, and only a newer contract has yet to judge them.
    """

    table: Table
    partition: str
    why: str
    recipe: str
    refused: bool
    blocked_by: str = ""
    unjudged: bool = False


@dataclass(frozen=True)
class Unsettled:
    """A live partition that is not current, and why.

    ``differs``: its rows are not what its inputs would give now; else they are not judged well.
    ``lacks``: the upstream tables whose changes it does not have.
    """

    table: Table
    partition: str
    why: str
    differs: bool = False
    lacks: frozenset[str] = frozenset()


def input_word(table: Table, inputs: Mapping[str, str]) -> str:
    """One word for the inputs of a partition."""
    text = json.dumps([table.key, dict(inputs)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def recipe(table: Table, inputs: Mapping[str, str]) -> str:
    """One word for what a partition is built from; equal recipes give equal rows."""
    text = json.dumps([table.key, table.code_version, dict(inputs)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def tried(table: Table, inputs: Mapping[str, str]) -> str:
    """What a build is tried with: equal rows may pass another contract."""
    return f"{recipe(table, inputs)} {table.contract_version}"


def together(checks: Iterable[str]) -> str:
    """Names of checks as the ledger keeps them."""
    return ",".join(sorted(set(checks)))
