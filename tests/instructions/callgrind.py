"""callgrind: which instructions are counted, and what came of it. In: a command. Out: its counts, by section and place.

The counted program says itself where a section begins and ends. It needs no compiler for that: valgrind knows a *client
request* by an instruction sequence that does nothing elsewhere (valgrind.h), which is written into a page here.
"""

import ctypes
import mmap
import platform
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

MACHINE = "x86_64"
"""The only one whose sequence stands here."""
_SEQUENCE = bytes.fromhex(
    "4889fa 4889f0"  # mov %rdi,%rdx: the answer elsewhere; mov %rsi,%rax: the request and its arguments
    "48c1c703 48c1c70d 48c1c73d 48c1c733 4887db"  # rol $3,$13,$61,$51 %rdi; xchg %rbx,%rbx
    "4889d0 c3"  # mov %rdx,%rax; ret
)
_TOOL = 0x4354 << 16
"""'C', 'T': callgrind's own requests, in the order of callgrind.h."""
_ZERO_STATS, _DUMP_STATS_AT, _START, _STOP = _TOOL + 1, _TOOL + 3, _TOOL + 4, _TOOL + 5
_NAMED = re.compile(r"\((\d+)\)(?: (.*))?")


class Requests:
    """Says to callgrind what is counted; of no effect outside of it."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._page.write(_SEQUENCE)
        kind = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_void_p)
        self._call = kind(ctypes.addressof(ctypes.c_char.from_buffer(self._page)))

    def start(self) -> None:
        """Count from here on."""
        self._ask(_START)
        self._ask(_ZERO_STATS)

    def stop(self, section: str) -> None:
        """Write down what was counted under this name, and count no more."""
        name = ctypes.create_string_buffer(section.encode())
        self._ask(_DUMP_STATS_AT, ctypes.addressof(name))
        self._ask(_STOP)

    def _ask(self, request: int, argument: int = 0) -> None:
        block = (ctypes.c_uint64 * 6)(request, argument)
        self._call(0, ctypes.addressof(block))


class Section(NamedTuple):
    """What was counted between `start` and `stop`, in instructions."""

    name: str
    total: int
    libraries: Counter[str]
    """By the file that holds the code."""
    functions: Counter[str]
    """C functions, without what they call."""


def is_here() -> bool:
    """Whether instructions can be counted on this machine."""
    return platform.machine() == MACHINE and shutil.which("valgrind") is not None


def counted(command: Sequence[str], folder: Path, env: Mapping[str, str], *, timeout: float) -> list[Section]:
    """Run a command under callgrind; return its sections. Raises SubprocessError."""
    options = ["-q", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/out.%p"]
    whole = [*fixed_addresses(), "valgrind", *options, *command]
    subprocess.run(whole, stdout=subprocess.DEVNULL, env=env, check=True, timeout=timeout)
    return [parse(path.read_text(errors="replace").splitlines()) for path in folder.glob("out.*.*")]


def fixed_addresses() -> list[str]:
    """Return what has a command find its memory at the same addresses each time; nothing where that is forbidden."""
    fixed = ["setarch", "-R"]
    able = shutil.which(fixed[0]) and not subprocess.run([*fixed, "true"], check=False, capture_output=True).returncode
    return fixed if able else []


def parse(lines: Iterable[str]) -> Section:
    """Read one dump of callgrind ("Callgrind Format Specification" of its manual)."""
    names: dict[str, str] = {}
    libraries: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    section, library, function, inclusive = "", "", "", False
    for line in lines:
        key, equals, value = line.partition("=")
        if line[:1].isdigit() or line[:1] in {"+", "-", "*"}:
            cost = 0 if inclusive else int(line.split()[1])  # the line after `calls` is of what is called
            libraries[library] += cost
            functions[function] += cost
            inclusive = False
        elif line.startswith("desc: Trigger: Client Request:"):
            section = line.rpartition(": ")[2]
        elif equals and key in {"ob", "fn", "cob", "cfn"}:
            name = _name(names, key[-2:], value)
            library = Path(name).name if key == "ob" else library
            function = name.partition("'")[0] if key == "fn" else function  # f'2 is f, called by itself
        elif key == "calls":
            inclusive = True
    return Section(section, libraries.total(), libraries, functions)


def _name(names: dict[str, str], kind: str, value: str) -> str:
    """Return the name; one that has been told before is only numbered."""
    found = _NAMED.match(value)
    if found is None:
        return value
    key = f"{kind}{found[1]}"
    if found[2] is not None:
        names[key] = found[2]
    return names.get(key, value)
