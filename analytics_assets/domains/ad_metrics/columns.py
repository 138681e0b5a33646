"""The columns that the tables of the ad metrics share, and short ways to declare others.

Belongs here: columns of more than one table. Does not belong here: tables.
"""

from __future__ import annotations

from analytics_assets.core.columns import KEY_LENGTH, Column, text


def flag(name: str, description: str) -> Column:
    """A column of true and false."""
    return Column(name, "boolean", description, nullable=False)


def usd(name: str, description: str) -> Column:
    """An amount in USD."""
    return Column(name, "money", description, "USD", nullable=False)


USER_ID = Column(
    "distinct_id", "text", "The user.", nullable=False, max_length=KEY_LENGTH, personal=True
)
PRODUCT = text("product_id", "The product.", False)
AD_IDS = (
    text("ad_id", "The ad.", max_length=KEY_LENGTH),
    text("adset_id", "Its adset.", max_length=KEY_LENGTH),
    text("campaign_id", "Its campaign.", max_length=KEY_LENGTH),
)
