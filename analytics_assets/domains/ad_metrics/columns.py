"""The columns that the tables of the ad metrics share, and short ways to declare others.

Belongs here: columns of more than one table. Does not belong here: tables.
"""

from __future__ import annotations

from analytics_assets.core.columns import Column


def text(name: str, description: str, *, nullable: bool = True) -> Column:
    """A column of text."""
    return Column(name, "text", description, nullable=nullable)


def flag(name: str, description: str) -> Column:
    """A column of true and false."""
    return Column(name, "boolean", description, nullable=False)


def usd(name: str, description: str) -> Column:
    """An amount in USD."""
    return Column(name, "money", description, "USD", nullable=False)


USER_ID = Column("distinct_id", "text", "The user.", nullable=False, personal=True)
PRODUCT = text("product_id", "The product.", nullable=False)
AD_IDS = (
    text("ad_id", "The ad."),
    text("adset_id", "Its adset."),
    text("campaign_id", "Its campaign."),
)
