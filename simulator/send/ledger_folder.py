"""Ledgers in files: a plan in, ledgers out that outlive the process that writes them. Read back by `simulator verify`.

| file | holds |
| --- | --- |
| `plan.json` | the scenario, the name and the start: what every post holds follows from them |
| `N.outcomes` | one byte for each post of part N, in its order |
| `N.refused` | single readings refused, as int64, below 0 how many of a post; written before that post is settled |
| `N.began` | when part N began to send, as a float64 on the clock that all processes of a machine share |
| `watch` | what was seen of the watched devices, a line a second at most: see `watch.notes` |
| `worker-N.json` | what process N came to, of several |

The outcomes are mapped into memory: a note costs no call, and a killed simulator leaves all it has noted. A machine
that loses its power may leave less.
"""

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from mmap import mmap
from pathlib import Path

import msgspec
import numpy as np

from simulator.core.errors import UsageError
from simulator.plan.plan import Part, Plan
from simulator.send.ledger import Ledger
from simulator.send.results import WorkerResult

_PLAN, _WATCH = "plan.json", "watch"
_BEGAN = struct.Struct("<d")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
OpenLedger = Callable[[Part], Ledger]


def in_memory(part: Part) -> Ledger:
    """Return a ledger that ends with the process."""
    return Ledger(part.lane)


class LedgerFolder:
    """The ledgers of one run, in a folder."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self.plan = plan

    @classmethod
    def create(cls, folder: Path, plan: Plan) -> "LedgerFolder":
        """Begin in a folder that is not there yet, or empty. Raises UsageError."""
        with _unless_failing(f"The ledger cannot be written to {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise UsageError(f"The folder {folder} is not empty: give each run a --ledger of its own.")
            (folder / _PLAN).write_bytes(plan.to_json())
        return cls(folder, plan)

    @classmethod
    def open(cls, folder: Path) -> "LedgerFolder":
        """Open what a run has left. Raises UsageError."""
        with _unless_failing(f"There is no ledger in {folder}"):
            text = (folder / _PLAN).read_bytes()
        with _unless_failing(f"The ledger in {folder} is of another version, or damaged"):
            return cls(folder, msgspec.json.decode(text, type=Plan))

    @contextmanager
    def writing(self) -> Iterator[OpenLedger]:
        """Yield what opens the ledger of a part to write it; each by one process at a time. Raises UsageError."""
        with ExitStack() as stack:

            def open_ledger(part: Part) -> Ledger:
                with self._writing():
                    return self._begin(part, stack)

            yield open_ledger

    def _begin(self, part: Part, stack: ExitStack) -> Ledger:
        with self._path(part, "outcomes").open("xb+") as file:
            file.truncate(part.lane.posts)
            outcomes = mmap(file.fileno(), part.lane.posts)
        refused = os.open(self._path(part, "refused"), _NEW, 0o644)
        stack.callback(os.close, refused)
        return Ledger(part.lane, outcomes=outcomes, keep_refused=lambda data: os.write(refused, data))

    def read(self, part: Part) -> Ledger:
        """Return the ledger of a part as it was left; all is unsent where none was begun. Raises UsageError."""
        outcomes, refused = self._path(part, "outcomes"), self._path(part, "refused")
        if not outcomes.exists():
            return Ledger(part.lane)
        found, numbers = self._left(outcomes), self._left(refused)
        if len(found) != part.lane.posts:
            raise UsageError(f"The ledger in {self.folder} is damaged: {outcomes.name} has {len(found)} bytes.")
        whole = numbers[: len(numbers) // 8 * 8]  # the last note may have been cut short with its writer
        return Ledger(part.lane, outcomes=bytearray(found), refused=np.frombuffer(whole, dtype=np.int64).tolist())

    def keep_began(self, part: Part, at: float) -> None:
        """Write when a part began to send. Raises UsageError."""
        with self._writing():
            self._path(part, "began").write_bytes(_BEGAN.pack(at))

    def began(self) -> dict[int, float]:
        """Return when the parts began, by their index; without those of which that is not known, as none did."""
        found = {part.index: self._left(self._path(part, "began")) for part in self.plan.parts()}
        return {index: _BEGAN.unpack(text)[0] for index, text in found.items() if len(text) == _BEGAN.size}

    @contextmanager
    def watching(self) -> Iterator[Callable[[bytes], object]]:
        """Yield what appends to the notes of the watch. Raises UsageError."""
        with self._writing():
            notes = os.open(self.folder / _WATCH, _NEW, 0o644)
        try:
            yield lambda line: os.write(notes, line)
        finally:
            os.close(notes)

    def watched(self) -> bytes:
        """Return the notes of the watch as they were left, nothing if there are none. Raises UsageError."""
        return self._left(self.folder / _WATCH)

    def _left(self, path: Path) -> bytes:
        with _unless_failing(f"The ledger in {self.folder} cannot be read"), suppress(FileNotFoundError):
            return path.read_bytes()
        return b""

    def keep_result(self, worker: int, result: WorkerResult) -> None:
        """Write what a process came to."""
        self._result_path(worker).write_bytes(msgspec.json.encode(result))

    def result(self, worker: int) -> WorkerResult:
        """Return what a process came to. Raises UsageError if it has not said."""
        with _unless_failing(f"Worker {worker} left no result in {self.folder}"):
            return msgspec.json.decode(self._result_path(worker).read_bytes(), type=WorkerResult)

    def _writing(self) -> AbstractContextManager[None]:
        return _unless_failing(f"The ledger cannot be written to {self.folder}")

    def _result_path(self, worker: int) -> Path:
        return self.folder / f"worker-{worker}.json"

    def _path(self, part: Part, what: str) -> Path:
        return self.folder / f"{part.index}.{what}"


@contextmanager
def _unless_failing(sentence: str) -> Iterator[None]:
    """Turn what may happen to a file into UsageError, with this sentence."""
    try:
        yield
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"{sentence}: {error}.") from error
