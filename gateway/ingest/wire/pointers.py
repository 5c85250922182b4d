"""Pointers: message numbers → where they stood in the posted body: item index and JSON pointer. Pure."""

from array import array
from collections.abc import Sequence
from enum import IntEnum

from gateway.domain.refusals import pointer


class Form(IntEnum):
    """The four native shapes of an item."""

    VALUES = 0
    FLAT = 1
    READINGS = 2
    COLUMNS = 3


class Places:
    """The origins of a decoded batch. Where every item is one message, `items` and `subs` are None."""

    __slots__ = ("forms", "items", "single", "subs")

    def __init__(
        self,
        *,
        single: bool,
        forms: Form | Sequence[Form],
        items: "array[int] | None" = None,
        subs: "array[int] | None" = None,
    ) -> None:
        self.single = single
        self.forms = forms
        self.items = items
        self.subs = subs

    def locate(self, message: int, metric: str | None) -> tuple[int, str]:
        """Return the item's index and the pointer to the message, or to the value of one of its metrics."""
        item = message if self.items is None else self.items[message]
        sub = 0 if self.subs is None else self.subs[message]
        form = self.forms if isinstance(self.forms, Form) else self.forms[message]
        return item, ("" if self.single else f"/{item}") + within(form, sub, metric)


def within(form: Form, sub: int, metric: str | None) -> str:
    """Return the pointer from an item to its message number `sub`, or to the value of one of its metrics."""
    if form is Form.FLAT:
        return "" if metric is None else "/value"
    if form is Form.VALUES:
        return "" if metric is None else f"/values/{pointer(metric)}"
    if form is Form.READINGS:
        return f"/readings/{sub}" + ("" if metric is None else f"/values/{pointer(metric)}")
    return f"/ts/{sub}" if metric is None else f"/values/{pointer(metric)}/{sub}"
