"""In: a folder. Out: an environment whose processes have a wall clock that can be stepped. Never touches the machine's.

It is libfaketime (Debian's package faketime): it reads the step from a file at every look at the clock. The monotonic
clock goes on as it was, as on a machine whose wall clock is set.
"""

import os
from pathlib import Path

from tests.servers.errors import NoGroundError

LIBRARIES = ("/usr/lib", "/usr/lib64")
NAME = "faketime/libfaketimeMT.so.1"
SITE = Path(__file__).parent / "faked"


class Clock:
    """The wall clock of some processes of ours."""

    def __init__(self, folder: Path) -> None:
        """Raise NoGroundError where libfaketime is not installed."""
        self._library = library()
        self._file = folder / "clock"
        self.step(0)

    def step(self, secs: int) -> None:
        """Set the clock so many seconds ahead of the machine's; negative: behind it."""
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{secs:+d}\n")
        draft.rename(self._file)  # a reader sees the one or the other

    def environ(self) -> dict[str, str]:
        """Return what a process must find in its environment."""
        return {
            "LD_PRELOAD": os.fspath(self._library),
            "FAKETIME_TIMESTAMP_FILE": os.fspath(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, (os.fspath(SITE), os.environ.get("PYTHONPATH")))),
        }


def library() -> Path:
    """Return where libfaketime is. Raises NoGroundError where it is not installed."""
    for base in LIBRARIES:
        found = next(Path(base).glob(f"*/{NAME}"), None)
        if found:
            return found
    raise NoGroundError("no libfaketime: apt-get install faketime")
