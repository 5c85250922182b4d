"""In: README.md and docs/*.md. Out: their text, code blocks and words in backticks. Never judges them."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))

_BLOCK = re.compile(r"^```(\w+)(?: ([\w-]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_WORD = re.compile(r"`([^`\n]+)`")


class Block(NamedTuple):
    """A fenced block: its language, what is said after it, and its text."""

    page: str
    language: str
    role: str
    text: str


def text_of(name: str) -> str:
    """Return a page below docs/, or README.md."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(language: str) -> list[Block]:
    """Return all fenced blocks of a language, of all pages."""
    return [
        Block(page.name, *match)
        for page in PAGES
        for match in _BLOCK.findall(page.read_text(encoding="utf-8"))
        if match[0] == language
    ]


def shell_lines() -> list[tuple[str, str]]:
    """Return (page, command) for each line of the bash blocks; continued lines are joined, comments are dropped."""
    joined = [(block.page, block.text.replace("\\\n", " ")) for block in blocks("bash")]
    lines = [(page, line.split("  # ")[0].strip()) for page, text in joined for line in text.splitlines()]
    return [(page, line) for page, line in lines if line]


def words() -> list[tuple[str, str]]:
    """Return (page, text in backticks) outside of fenced blocks."""
    return [
        (page.name, word) for page in PAGES for word in _WORD.findall(_BLOCK.sub("", page.read_text(encoding="utf-8")))
    ]
