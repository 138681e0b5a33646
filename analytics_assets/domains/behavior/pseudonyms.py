"""The pseudonyms by which readers of production know users.

Belongs here: the key, and the table's rows.
Does not belong here: the hash (``landing/pseudonyms.py``), which tables are published.
"""

from __future__ import annotations

from typing import Any

from analytics_assets.core.columns import Column, Dimension
from analytics_assets.landing.pseudonyms import Key

KEY = Key("BEHAVIOR_PSEUDONYM_KEY", "behavior_pseudonym.key")
PUBLIC_USER = Dimension(
    "user",
    (Column("pseudonym", "text", "The user, as a keyed hash.", nullable=False, told=True),),
)


def pseudonym_rows(users: Any, report: dict[str, Any]) -> Any:
    """Each user with the keyed hash."""
    return users.assign(pseudonym=KEY.hashes(users["user_id"].astype(str)))
