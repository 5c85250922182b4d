"""Between the doors and the database: what waits, and what is committed together."""
