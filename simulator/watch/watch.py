"""What was watched beside a load, and how well: figures for reports. Pure data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from simulator.watch.polls import EVERY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What was watched, and how well. `…_unwatched` says why not, if so."""

    devices: int = 0
    state_every_ms: float = EVERY_S * 1_000
    """So much later than it was there a value may have been seen in the state."""
    state_reads: int = 0
    state_reads_failed: int = 0
    state_reads_left_out: int = 0
    """Questions that were not asked in time, since others had no answer yet or the machine was busy."""
    state_unwatched: str = ""
    stream_connections: int = 0
    stream_resets: Mapping[str, int] = field(default_factory=dict)
    """How often the stream began anew, by the reason it gave; `start` is its beginning."""
    stream_skipped: int = 0
    """Values that it says it left out, since we were too slow."""
    stream_unwatched: str = ""
    unkept: str = ""
    """Why what was seen is not kept beside the ledger to the end, if it was to be."""
    broke_off_s: float | None = None
    """Seconds from the start to the last note of a watch that was killed; None of one that came to its end."""
    unwatched: int = 0
    """Messages of watched devices that were sent, of which such a watch cannot tell; the first of them by device and
    time."""
    unwatched_examples: tuple[str, ...] = ()


NOT_WATCHED = Watch(
    state_unwatched="only a run can watch it, while it sends",
    stream_unwatched="only a run can watch it, while it sends",
)
