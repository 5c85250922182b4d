"""JSON stream: a long JSON text → its values one by one, through a window. Raises BadPayload, TooLarge. Pure.

Values are what the standard library's decoder makes of them, with `json_text.as_posted`. What does not fit into a
window is taken apart: an array element by element, an object key by key. So no step takes long, whatever it holds.
"""

import codecs
import re
from collections.abc import Callable, Iterator
from json import JSONDecodeError, JSONDecoder
from typing import Any, Final

from gateway.core.errors import BadPayload, TooLarge
from gateway.core.slices import Steps
from gateway.domain.json_text import Pair, as_posted, pairs_of

WINDOW = 2**15
"""Bytes looked at together: reading them takes some milliseconds at most."""
MAX_TOKEN_BYTES = 2**20
"""Longest text (or number, or blank) in a body, as it is written."""
MAX_DEPTH = 64
"""How deep things that do not fit into a window may be nested."""
TOGETHER = 2**13
"""Characters of elements that are tried to be read together."""
STEP = 256
"""Elements between two steps."""
_MISSING: Final = object()
_BLANKS = re.compile(r"[ \t\n\r]*")
_NUMBER_REST = 4
"""A number may go on behind so many characters, as in `1e+`."""
_ESCAPE_REST = 12
"""And an escape, as in `\\ud83d\\ude00`."""
_decode = JSONDecoder(object_pairs_hook=as_posted).raw_decode


class Element:
    """One element of the array that the text is, or the text's only value."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class JsonStream:
    """Reads one text from its beginning to its end."""

    def __init__(self, body: bytes, count: Callable[[int], None], *, window: int = WINDOW) -> None:
        """Raise BadPayload if it is not UTF-8. `count` hears of elements as they come, and may raise."""
        self._body = body
        self._count = count
        self._window = window
        self._start = 0
        """Where the window begins, in bytes."""
        self._text = ""
        self._at = 0
        """Where we are in it, in characters."""
        self._is_last = False
        self._depth = 0
        self._is_tried = False
        """Whether it was tried to read what the window holds together."""
        self._fault: JSONDecodeError | None = None
        """Why the window did not hold the value."""
        self._fill(window)
        self.is_array = self._next() == "["

    def elements(self) -> Iterator[Element | None]:
        """Yield each element of the array, or the one value; None where the work may be interrupted."""
        if not self.is_array:
            value = yield from self._value()
            yield Element(value)
        else:
            self._at += 1
            is_first = True
            while not self._ends("]", is_first=is_first):
                is_first = False
                value = self._inside()
                self._count(1)
                yield Element((yield from self._outside()) if value is _MISSING else value)
        if self._next():
            raise self._broken("Extra data")

    def _value(self) -> Steps[Any]:
        value = self._inside()
        return (yield from self._outside()) if value is _MISSING else value

    def _inside(self) -> Any:
        """Return the value that begins here, _MISSING if the window does not hold all of it."""
        self._next()
        try:
            value, end = _decode(self._text, self._at)
        except JSONDecodeError as exc:
            if self._is_last:
                raise self._broken(exc.msg, exc.pos) from None
            self._fault = exc
            return _MISSING
        except RecursionError:
            raise BadPayload("the body is nested too deeply") from None
        except ValueError as exc:  # an integer of more than 4300 digits
            raise BadPayload(f"the body is not JSON: {str(exc).split(';')[0]}") from None
        if isinstance(value, int | float) and not self._is_last and end + _NUMBER_REST > len(self._text):
            return _MISSING
        self._at = end
        return value

    def _outside(self) -> Steps[Any]:
        """Return a value that the window does not hold whole: move the window, and take the value apart if it must."""
        size = self._window
        while True:
            self._fill(size)
            yield
            self._fault = None
            value = self._inside()
            if value is not _MISSING:
                return value
            if self._text[self._at : self._at + 1] in ("[", "{"):
                return (yield from self._apart())
            if self._fault is not None and not self._may_go_on(self._fault):
                raise self._broken(self._fault.msg, self._fault.pos)
            if size >= MAX_TOKEN_BYTES:
                raise _too_long()
            size *= 4

    def _may_go_on(self, fault: JSONDecodeError) -> bool:
        """Whether a text or number may be at fault only because the window ends."""
        return fault.msg.startswith("Unterminated") or fault.pos + _ESCAPE_REST >= len(self._text)

    def _apart(self) -> Steps[Any]:
        if self._depth >= MAX_DEPTH:
            raise BadPayload("the body is nested too deeply")
        self._depth += 1
        is_array = self._text[self._at] == "["
        self._at += 1
        value = yield from (self._array() if is_array else self._object())
        self._depth -= 1
        return value

    def _array(self) -> Steps[list[Any]]:
        found: list[Any] = []
        while not self._ends("]", is_first=not found):
            many = self._together("[", "]")
            if many:
                found += many
                yield
                continue
            value = self._inside()
            found.append((yield from self._outside()) if value is _MISSING else value)
            self._count(1)
            if not len(found) % STEP:
                yield
        return found

    def _object(self) -> Steps[dict[str, Any]]:
        pairs: list[Pair] = []
        while not self._ends("}", is_first=not pairs):
            many = self._together("{", "}")
            if many:
                pairs += pairs_of(many)
                yield
                continue
            if self._next() != '"':
                raise self._broken("Expecting property name enclosed in double quotes")
            key = yield from self._value()
            if self._next() != ":":
                raise self._broken("Expecting ':' delimiter")
            self._at += 1
            pairs.append((key, (yield from self._value())))
            self._count(1)
            if not len(pairs) % STEP:
                yield
        return as_posted(pairs)

    def _together(self, opening: str, closing: str) -> Any:
        """Return as many elements as there are up to the last comma of the window, None if that is not the end of one.

        Tried once in each window: well-formed parts with commas between them can be read in one way only.
        """
        if self._is_tried:
            return None
        self._is_tried = True
        self._next()
        stop = self._text.rfind(",", self._at, self._at + TOGETHER)
        if stop < 0:
            return None
        try:
            many, end = _decode(f"{opening}{self._text[self._at : stop]}{closing}", 0)
        except (ValueError, RecursionError):
            return None
        if end != stop - self._at + 2:
            return None
        self._count(len(pairs_of(many)) if isinstance(many, dict) else len(many))
        self._at = stop
        self._is_tried = False
        return many

    def _ends(self, bracket: str, *, is_first: bool) -> bool:
        """Pass over the bracket, or the comma before the next element. Raises BadPayload if it is neither."""
        found = self._next()
        if found == bracket:
            self._at += 1
            return True
        if not is_first:
            if found != ",":
                raise self._broken("Expecting ',' delimiter")
            self._at += 1
        return False

    def _next(self) -> str:
        """Pass over blanks; return the next character, empty at the end."""
        for _ in range(MAX_TOKEN_BYTES // self._window + 1):
            found = _BLANKS.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text) or self._is_last:
                return self._text[self._at : self._at + 1]
            self._fill(self._window)
        raise _too_long()

    def _fill(self, size: int) -> None:
        """Have the window begin where we are, and hold so many bytes if there are."""
        passed = self._text[: self._at]
        self._start += len(passed) if passed.isascii() else len(passed.encode())
        stop = self._start + size
        self._is_last = stop >= len(self._body)
        try:
            self._text, _ = codecs.utf_8_decode(self._body[self._start : stop], "strict", self._is_last)
        except UnicodeDecodeError as exc:
            raise BadPayload(f"the body is not JSON: it is not UTF-8 ({exc.reason} at byte {self._start})") from None
        self._at = 0
        self._is_tried = False

    def _broken(self, why: str, at: int | None = None) -> BadPayload:
        at = self._at if at is None else at
        byte = self._start + len(self._text[:at].encode())
        return BadPayload(f"the body is not JSON: {why} (byte {byte})")


def _too_long() -> TooLarge:
    return TooLarge(
        f"a text in the body is longer than {MAX_TOKEN_BYTES} bytes; send it in parts, or leave it out",
        limit="text_bytes",
        value=MAX_TOKEN_BYTES,
    )
