"""Counts of several parts, processes or stretches of time, as one. Pure."""

from typing import Any

MAX_EXAMPLES = 100
"""Of whatever is told with examples, so many at the most."""


def add_up(total: Any, more: Any) -> None:
    """Add field by field: numbers, counts by name, and examples as far as there is room."""
    for name in type(total).__annotations__:
        ours, theirs = getattr(total, name), getattr(more, name)
        if isinstance(ours, dict):
            for key, count in theirs.items():
                ours[key] = ours.get(key, 0) + count
        elif isinstance(ours, list):
            ours += theirs[: max(0, MAX_EXAMPLES - len(ours))]
        else:
            setattr(total, name, ours + theirs)
