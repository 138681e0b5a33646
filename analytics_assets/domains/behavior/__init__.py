"""Behavioural events of a learning platform, exported by day, and the analyses on them."""
