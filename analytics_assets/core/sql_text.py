"""SQL as text: what of it is read by the database, and what only by people.

Belongs here: leaving out comments and layout. Does not belong here: parsing (``lineage.py``), or
making SQL (``rollups.py``).
"""

from __future__ import annotations

import re
from functools import lru_cache

# What may hold white space or dashes that count, and what may hold anything and counts for nothing.
# A dollar after a letter or digit belongs to a name.
_QUOTED = "|".join(
    (
        r"(?<![\w$])[eE]'(?:[^'\\]|\\.|'')*'",
        r"'(?:[^']|'')*'",
        r'"(?:[^"]|"")*"',
        r"(?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$",
    )
)
_NEXT = re.compile(rf"(?P<quoted>{_QUOTED})|--[^\n]*|(?P<block>/\*)", re.DOTALL)
_BRACKET = re.compile(r"/\*|\*/")
_SPACE = re.compile(r"\s+")


@lru_cache(maxsize=4096)
def essential(sql: str) -> str:
    """The SQL without comments, and with one space for white space outside of quotes."""
    kept: list[str] = []
    plain: list[str] = []
    at = 0
    while found := _NEXT.search(sql, at):
        plain.append(sql[at : found.start()])
        at = found.end()
        if found["quoted"]:
            kept += [_SPACE.sub(" ", "".join(plain)), found["quoted"]]
            plain = []
        else:
            plain.append(" ")
            at = _end_of_block(sql, at) if found["block"] else at
    plain.append(sql[at:])
    return "".join([*kept, _SPACE.sub(" ", "".join(plain))]).strip()


def _end_of_block(sql: str, at: int) -> int:
    """Where a comment that began before ``at`` ends; comments may hold comments."""
    depth = 1
    while depth and (bracket := _BRACKET.search(sql, at)):
        depth += 1 if bracket.group() == "/*" else -1
        at = bracket.end()
    return at if depth == 0 else len(sql)
