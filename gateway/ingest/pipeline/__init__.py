"""Between intake and database: what waits, and what is committed together."""
