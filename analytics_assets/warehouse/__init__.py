"""Where tables live: the Delta lake, DuckDB sessions, and the assets that build and publish."""
