"""What people read: tables promoted into PostgreSQL, with a ledger of what was promoted."""
