"""Labels that stand in a file in the place of codes.

Belongs here: how a label is compared, whatever its spelling, and which code it means.
Does not belong here: the code lists themselves (``reference/code_lists.csv``).

Compared is what is left without case, accents, punctuation and the words that the dictionaries of
the years and the programs that decode files (microdatasus, PySUS) set in other ways: "de 4 a 6",
"4 a 6 vezes" and "4-6" are one label.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from functools import cache
from pathlib import Path

from analytics_assets.warehouse.session import literal

_FILLERS = "a|o|e|ou|de|da|do|ano|anos|vez|vezes|consulta|consultas|visita|visitas|semana|semanas"
# In any list: not known, or not filled in.
_UNKNOWN = "(ignorad|indeterminad|n[aã]o (informad|classificad))[oa]s?( .*|,.*)?"


def label_key(label: str) -> str:
    """What of a label is compared."""
    bare = "".join(c for c in unicodedata.normalize("NFD", label.lower()) if c.isprintable())
    bare = "".join(c for c in bare if not unicodedata.combining(c)).replace("+", " mais ")
    words = re.sub(rf"\b({_FILLERS})\b", " ", re.sub("[^a-z0-9]+", " ", bare))
    return " ".join(words.split())


def label_key_sql(text: str) -> str:
    """DuckDB expression: ``label_key`` of a text."""
    bare = f"replace(strip_accents(lower({text})), '+', ' mais ')"
    words = f"regexp_replace({bare}, '[^a-z0-9]+', ' ', 'g')"
    kept = f"regexp_replace({words}, '\\b({_FILLERS})\\b', ' ', 'g')"
    return f"trim(regexp_replace({kept}, ' +', ' ', 'g'))"


def is_unknown_sql(text: str) -> str:
    """DuckDB expression: whether a text says that the value is not known."""
    return f"regexp_full_match({text}, '(?i){_UNKNOWN}')"


def code_sql(text: str, folder: Path, code_list: str) -> str:
    """DuckDB expression: the code that a label means, or NULL."""
    pairs = ", ".join(
        f"{literal(label)}: {literal(code)}" for label, code in spellings(folder, code_list).items()
    )
    # A map is planned in a tenth of the time of a CASE.
    return f"map {{{pairs}}}[{label_key_sql(text)}]"


@cache
def spellings(folder: Path, code_list: str) -> dict[str, str]:
    """Key of each label of a list -> code."""
    found: dict[str, str] = {}
    for file in ("code_lists.csv", "spellings.csv"):
        with (folder / file).open(encoding="utf-8", newline="") as opened:
            found.update(
                (label_key(row["label_pt"]), row["code"])
                for row in csv.DictReader(opened)
                if row["list"] == code_list
            )
    return found
