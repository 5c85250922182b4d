"""In: sql/queries.sql. Out: its blocks by name. Never builds SQL from values."""

import re
from functools import cache
from pathlib import Path

from gateway.errors import StartError

_PACKAGE = Path(__file__).resolve().parent.parent
_HEADER = re.compile(r"^-- name: (\w+)[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"^--.*$", re.MULTILINE)


def sql_dir(package: Path = _PACKAGE) -> Path:
    """Return the folder `sql`: inside the package when installed from a wheel, beside it in a checkout.

    Raises StartError when there is neither.
    """
    for candidate in (package / "_sql", package.parent / "sql"):
        if (candidate / "queries.sql").is_file():
            return candidate
    raise StartError(f"the SQL files are missing: neither {package / '_sql'} nor {package.parent / 'sql'} holds them")


def parse(text: str) -> dict[str, str]:
    """Return name → statement without comments. Raises StartError for a name that stands twice or for nothing."""
    pieces = _HEADER.split(text)
    blocks: dict[str, str] = {}
    for name, body in zip(pieces[1::2], pieces[2::2], strict=True):
        statement = _COMMENT.sub("", body).strip().removesuffix(";")
        if name in blocks or not statement:
            raise StartError(f"queries.sql: the block {name!r} {'stands twice' if name in blocks else 'is empty'}")
        blocks[name] = statement
    return blocks


@cache
def _blocks() -> dict[str, str]:
    return parse((sql_dir() / "queries.sql").read_text(encoding="utf-8"))


def query(name: str) -> str:
    """Return the block with this name; the file is read once a process. Raises StartError if there is none."""
    try:
        return _blocks()[name]
    except KeyError:
        raise StartError(f"queries.sql has no block {name!r}") from None
