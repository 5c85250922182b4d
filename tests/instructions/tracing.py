"""The cost of each Python function: bytecodes it executes, and calls of functions written in C. In: a run. Out: counts.

Both are the same on every build of one minor version of CPython, on every machine: they say what an instruction count
cannot on an interpreter it was not made for, and whose code has become dearer.
"""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FrameType
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
_LIBRARIES = ("/site-packages/", f"/python{sys.version_info.major}.{sys.version_info.minor}/")


class Traced(NamedTuple):
    """What ran between `begin` and `end`."""

    opcodes: Counter[str]
    """By Python function: `file function`."""
    calls: Counter[str]
    """Of C functions, by name."""


class Tracer:
    """Counts in the thread that begins it; frames that are running then are not counted."""

    def __init__(self) -> None:
        self._opcodes: Counter[CodeType] = Counter()
        self._calls: Counter[str] = Counter()

    def begin(self) -> None:
        """Count from here on."""
        sys.setprofile(self._on_call)
        sys.settrace(self._on_frame)

    def end(self) -> Traced:
        """Stop, and return what was counted."""
        sys.settrace(None)
        sys.setprofile(None)
        opcodes: Counter[str] = Counter()
        for code, count in self._opcodes.items():
            opcodes[name_of(code)] += count
        return Traced(opcodes, self._calls)

    def _on_frame(self, frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        if event != "call":
            return None
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        return self._on_opcode

    def _on_opcode(self, frame: FrameType, event: str, _: object) -> Callable[..., Any]:
        if event == "opcode":
            self._opcodes[frame.f_code] += 1
        return self._on_opcode

    def _on_call(self, _: FrameType, event: str, function: Any) -> None:
        if event == "c_call":
            self._calls[c_name(function)] += 1


def name_of(code: CodeType) -> str:
    """Return a function as people look it up, on whatever machine it is."""
    path = code.co_filename
    for mark in _LIBRARIES:
        path = path.rpartition(mark)[2]
    return f"{path.removeprefix(f'{ROOT}/')} {code.co_qualname}"


def c_name(function: Any) -> str:
    """Return the name of a function that is written in C, of a method with its class."""
    owner = getattr(function, "__self__", None)
    if isinstance(function, BuiltinFunctionType) and owner is not None and not isinstance(owner, type(sys)):
        kind = owner if isinstance(owner, type) else type(owner)
        return f"{kind.__name__}.{function.__name__}"
    module = getattr(function, "__module__", None)
    return f"{module}.{function.__qualname__}" if module else str(getattr(function, "__qualname__", function))
