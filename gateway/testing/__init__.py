"""Parts without servers, for your tests and ours: each passes the contract suite of the real part it stands for."""

from gateway.testing.clock import ManualClock
from gateway.testing.credentials import MemoryCredentials
from gateway.testing.deadletters import MemoryDeadLetters
from gateway.testing.directory import MemoryDirectory
from gateway.testing.latest import MemoryNewest
from gateway.testing.sink import MemorySink
from gateway.testing.spool import MemorySpool
from gateway.testing.state import MemoryState

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
