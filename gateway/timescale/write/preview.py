"""The preview of spooled batches. In: batches that no database has yet. Out: what live state may show of them. Pure.

Only what needs no database: messages of shapes whose ids are known. The rest is shown once it is stored.
"""

from collections.abc import Sequence

import numpy as np

from gateway.domain.model import Batch, Block
from gateway.timescale.write.assemble import Group, newest
from gateway.timescale.write.name_ids import Dictionary


def preview(batches: Sequence[Batch], dictionary: Dictionary, *, last_wins: bool) -> list[Block]:
    """Return the newest message per device and shape; of equal times the first, or with `last_wins` the last.

    The ids of devices are made up: the state does without them.
    """
    line = Group(batches)
    shapes = dictionary.known_shape_ids(line.layouts)
    if not any(shapes):
        return []
    numbers = {name: number for number, name in enumerate(dict.fromkeys(line.names), 1)}
    devices = np.array([numbers[name] for name in line.names], np.int32)
    blocks = newest([part.block for part in line.blocks(devices, shapes, last_wins=last_wins)])
    return blocks if all(shapes) else [block.take(np.flatnonzero(block.shapes)) for block in blocks]
