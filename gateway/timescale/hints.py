"""Hints for operators. In: an error of PostgreSQL. Out: what to do about it, in a clause. Pure; quotes no server."""

import asyncpg

_BY_STATE = {
    "0A000": "if it is row-level security: let the user of database.url pass it by (alter role … bypassrls), or turn it"
    " off on the gateway's tables",
    "2200H": "an identity column of the registry has come to its end; restart it behind the highest id",
    "25006": "connect to the primary, or set default_transaction_read_only to off",
    "42501": "grant the user of database.url select, insert, update and delete on the gateway's tables, and temporary"
    " on the database",
    "53100": "the disk of the database is full: give it room",
    "53200": "the server is out of memory or of locks (max_locks_per_transaction)",
    "53300": "the server has no connection left (max_connections)",
    "55P03": "somebody else holds a lock on a table of the gateway: see pg_locks and pg_stat_activity",
    "P0001": "a trigger on a table of the gateway says so",
}
_MISSING = "a table, column or function of the gateway is missing: run 'gateway migrate', or restore it from a backup"


def cure(exc: BaseException) -> str:
    """Return what to do, empty if the words of the error must do."""
    if not isinstance(exc, asyncpg.PostgresError):
        return ""
    state = exc.sqlstate or ""
    return _MISSING if state in {"3F000", "42703", "42883", "42P01"} else _BY_STATE.get(state, "")
