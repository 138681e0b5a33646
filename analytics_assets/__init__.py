"""Analytics tables as Dagster assets: declared once, audited before anyone sees them."""
