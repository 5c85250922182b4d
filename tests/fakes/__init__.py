"""Parts without servers, for your tests and ours: each passes the contract suite of the real part it stands for."""

from tests.fakes.clock import ManualClock
from tests.fakes.credentials import MemoryCredentials
from tests.fakes.deadletters import MemoryDeadLetters
from tests.fakes.directory import MemoryDirectory
from tests.fakes.latest import MemoryNewest
from tests.fakes.sink import MemorySink
from tests.fakes.spool import MemorySpool
from tests.fakes.state import MemoryState

__all__ = [
    "ManualClock",
    "MemoryCredentials",
    "MemoryDeadLetters",
    "MemoryDirectory",
    "MemoryNewest",
    "MemorySink",
    "MemorySpool",
    "MemoryState",
]
