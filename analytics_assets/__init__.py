"""Analytics tables as Dagster assets: declared once, audited before anyone sees them."""

__version__ = "0.1.0"
