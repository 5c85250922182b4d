"""A target: where bytes come in, and what must hold whatever they are. The table of all of them is `TARGETS`.

A check gets bytes and raises whatever it finds wrong: an AssertionError of its own, or what the gateway's code raises
and did not say that it would.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from hypothesis import strategies as st

CORPUS = Path(__file__).parent / "corpus"
Check = Callable[[bytes], None]
_PLACES = st.integers(0, 2**16)
_PIECES = st.binary(max_size=12) | st.sampled_from(
    [b"\0", b"\r\n", b"\n", b'"', b"[", b"]", b"{", b"}", b",", b":", b"-", b"\xff", b"\xc3\xa9", b"1e400", b"9" * 20]
)


@dataclass(frozen=True)
class Target:
    """One way in."""

    name: str
    about: str
    """One line, for the list."""
    check: Check
    seeds: Sequence[bytes]
    """What good input looks like."""
    made: st.SearchStrategy[bytes] | None = field(default=None, compare=False)
    """A strategy of its own, beside seeds that are altered and bytes as they come."""

    @property
    def folder(self) -> Path:
        """Where inputs lie for which its check failed once."""
        return CORPUS / self.name

    def corpus(self) -> list[Path]:
        """Return all of them, in order."""
        return sorted(path for path in self.folder.glob("*") if path.is_file())

    def keep(self, data: bytes) -> Path:
        """Write an input into the corpus, under the hash of it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / hashlib.sha256(data).hexdigest()[:16]
        path.write_bytes(data)
        return path

    def inputs(self) -> st.SearchStrategy[bytes]:
        """Return a strategy for inputs: good ones altered, its own, and anything."""
        ways = [altered(self.seeds), st.binary(max_size=200)]
        return st.one_of(ways if self.made is None else [self.made, self.made, *ways])


def altered(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Return a strategy for seeds with pieces cut out, put in, doubled and swapped."""
    edits = st.lists(st.tuples(st.sampled_from("xidb"), _PLACES, _PLACES, _PIECES), max_size=6)
    return st.builds(_edit, st.sampled_from(list(seeds)), edits)


def _edit(data: bytes, edits: Sequence[tuple[str, int, int, bytes]]) -> bytes:
    for what, place, other, piece in edits:
        start, end = sorted((place % (len(data) + 1), other % (len(data) + 1)))
        match what:
            case "x":
                data = data[:start] + data[end:]
            case "i":
                data = data[:start] + piece + data[start:]
            case "d":
                data = data[:end] + data[start:end][:2_000] + data[end:]
            case _:
                data = data[:start] + piece + data[start + len(piece) :]
    return data[:20_000]


def cut(data: bytes) -> list[bytes]:
    """Cut bytes into pieces, in the same way each time, so that the bytes alone are the input."""
    rng, pieces = Random(data), []
    while data:
        size = rng.choice((1, 2, 7, 100, 1_000, len(data)))
        pieces.append(data[:size])
        data = data[size:]
    return pieces


TARGETS: dict[str, Target] = {}


def target(
    name: str, about: str, seeds: Sequence[bytes], *, made: st.SearchStrategy[bytes] | None = None
) -> Callable[[Check], Check]:
    """Enter a check into the table."""

    def enter(check: Check) -> Check:
        assert name not in TARGETS, name
        TARGETS[name] = Target(name, about, check, seeds, made)
        return check

    return enter
