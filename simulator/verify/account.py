"""What is held against what is stored: the ledger of a part, with what is needed to know what its posts hold. Pure."""

from dataclasses import dataclass

from simulator.plan.draw import Draw
from simulator.plan.fleet import Fleet
from simulator.send.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Account:
    """One part of a run, after it was sent; without `draw` there are no faults in it."""

    fleet: Fleet
    ledger: Ledger
    draw: Draw | None = None
