"""The SQL of sql/queries/*.sql, block by block. In: the name of a block. Out: its statement.

"-- name: x" opens a block; comments are for people. In a block "{y}" stands for the block y if that is above it, else
for SQL that the caller gives. Values never go into the text: they are arguments.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from gateway.core.errors import StartError

_PACKAGE = Path(__file__).resolve().parent.parent
_HEADER = re.compile(r"^-- name: (\w+)[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"^--.*$", re.MULTILINE)
_PART = re.compile(r"\{(\w+)\}")


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
    """Return name → statement without comments, with the blocks above it put in where it names them.

    Raises StartError for a name that stands twice or for nothing.
    """
    pieces = _HEADER.split(text)
    blocks: dict[str, str] = {}
    for name, body in zip(pieces[1::2], pieces[2::2], strict=True):
        statement = _COMMENT.sub("", body).strip().removesuffix(";")
        if name in blocks or not statement:
            raise StartError(f"sql/queries: the block {name!r} {'stands twice' if name in blocks else 'is empty'}")
        blocks[name] = _filled(statement, blocks)
    return blocks


@cache
def _blocks() -> dict[str, str]:
    return parse(read_all(sql_dir()))


def query(name: str, **parts: str) -> str:
    """Return the block with this name, with SQL for `{part}` in it; the files are read once a process.

    Raises StartError if there is none.
    """
    try:
        block = _blocks()[name]
    except KeyError:
        raise StartError(f"sql/queries has no block {name!r}") from None
    return _filled(block, parts) if parts else block


def _filled(block: str, parts: Mapping[str, str]) -> str:
    return _PART.sub(lambda part: parts.get(part[1], part[0]), block)
