"""Judge by the notes of a watch, after its run: a plan, ledgers and lines in; what was seen and missed out. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from simulator.plan.plan import Plan
from simulator.send.ledger import Ledger
from simulator.watch.judging import Judgement, judge
from simulator.watch.notes import recall
from simulator.watch.sample import choose
from simulator.watch.sightings import Sightings
from simulator.watch.watch import NOT_WATCHED, Watch

ON_THE_WAY_S = 5.0
"""What was due so shortly before the watch broke off may have been on its way: as long as a run waits for news."""


def recalled(
    content: bytes, plan: Plan, ledgers: Sequence[Ledger], began: Mapping[int, float]
) -> tuple[Judgement, Watch]:
    """Return what the notes tell; `began` says when each part, by its index, began to send.

    Of a run that was killed they end with the last line that is whole, and what came after was not watched.
    """
    sightings = Sightings(choose(plan), clock=lambda: 0.0)
    line = recall(content, sightings)
    if line is None or not began:
        return Judgement(), NOT_WATCHED
    sure_until = math.inf if line.has_settled else line.until - ON_THE_WAY_S
    found = judge(
        sightings, ledgers, began=began, phases=len(plan.scenario.timeline), now=line.until, sure_until=sure_until
    )
    if line.has_settled:
        return found, line.watch
    told = replace(
        line.watch,
        broke_off_s=max(0.0, line.until - min(began.values())),
        unwatched=found.unwatched,
        unwatched_examples=tuple(found.unwatched_examples),
    )
    return found, told
