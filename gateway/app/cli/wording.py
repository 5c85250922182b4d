"""Wording of commands: what is said to callers of the HTTP API, with options for parameters."""

import re

_FILTER = re.compile(r"\b(code|device|source|since|tag|replayed)=")
_SAID = (
    ("say that they go with it: readings=delete", "to remove them too, for good, give --readings"),
    ("limit must lie", "--limit must lie"),
    (", after between", ", --after between"),
    ("or null for none", 'or "" for none'),
    ("the body", "the file"),
)


def in_options(message: str, *, database: bool = False) -> str:
    """Return the message with options for parameters; `database` says whether --database stood for database.url."""
    for parameter, option in _SAID:
        message = message.replace(parameter, option)
    if database:
        message = message.replace("database.url (GATEWAY_DATABASE__URL)", "--database").replace(
            "database.url", "--database"
        )
    return _FILTER.sub(r"--\1 ", message)
