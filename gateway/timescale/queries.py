"""In: sql/queries/*.sql. Out: their blocks by name. Never builds SQL from values.

"-- name: x" opens a block; comments are for people.
"""

import re
from functools import cache
from pathlib import Path

from gateway.core.errors import StartError

_PACKAGE = Path(__file__).resolve().parent.parent
_HEADER = re.compile(r"^-- name: (\w+)[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"^--.*$", re.MULTILINE)


def sql_dir(package: Path = _PACKAGE) -> Path:
    """Return the folder `sql`: inside the package when installed from a wheel, beside it in a checkout.

    Raises StartError when there is neither.
    """
    for candidate in (package / "_sql", package.parent / "sql"):
        if (candidate / "queries").is_dir():
            return candidate
    raise StartError(f"the SQL files are missing: neither {package / '_sql'} nor {package.parent / 'sql'} holds them")


def read_all(folder: Path) -> str:
    """Return the text of every file of queries in the folder `sql`."""
    return "\n".join([path.read_text(encoding="utf-8") for path in sorted((folder / "queries").glob("*.sql"))])


def parse(text: str) -> dict[str, str]:
    """Return name → statement without comments. Raises StartError for a name that stands twice or for nothing."""
    pieces = _HEADER.split(text)
    blocks: dict[str, str] = {}
    for name, body in zip(pieces[1::2], pieces[2::2], strict=True):
        statement = _COMMENT.sub("", body).strip().removesuffix(";")
        if name in blocks or not statement:
            raise StartError(f"sql/queries: the block {name!r} {'stands twice' if name in blocks else 'is empty'}")
        blocks[name] = statement
    return blocks


@cache
def _blocks() -> dict[str, str]:
    return parse(read_all(sql_dir()))


def query(name: str) -> str:
    """Return the block with this name; the file is read once a process. Raises StartError if there is none."""
    try:
        return _blocks()[name]
    except KeyError:
        raise StartError(f"sql/queries has no block {name!r}") from None
