"""Sanitizing: words of a stranger → what a log line may hold: short, and nothing that moves a cursor. Pure."""

MAX_SHOWN = 200
"""Characters."""


def shown(text: str) -> str:
    """Return the beginning of a text, each character that cannot be seen as its number."""
    begun = text[:MAX_SHOWN]
    seen = begun if begun.isprintable() else "".join(map(_seen, begun))
    return seen if len(text) <= MAX_SHOWN else f"{seen}…"


def _seen(character: str) -> str:
    return character if character.isprintable() else f"\\u{ord(character):04x}"
