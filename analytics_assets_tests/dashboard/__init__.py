"""The dashboard, over a real production database."""
