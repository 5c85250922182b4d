"""In: newest messages as a test writes them down. Out: blocks as a sink gives them back. Never sorted."""

import numpy as np

from gateway.domain.model import Block
from tests.builders.batches import NOON

Texts = tuple[str, ...]


def block(
    device: str,
    after: int,
    *,
    shape: int = 1,
    doubles: tuple[float, ...] = (),
    ints: tuple[int, ...] = (),
    texts: Texts = (),
) -> Block:
    """One message as a block of its own; `after` is microseconds after NOON."""
    return Block(
        [device],
        np.array([7], np.int32),
        np.array([shape], np.int32),
        np.array([NOON + after], np.int64),
        np.array([doubles], np.float64).reshape(1, -1),
        np.array([ints], np.int64).reshape(1, -1),
        [texts] if texts else (),
    )


def join(*blocks: Block) -> Block:
    """Blocks of one width as one block."""
    return Block(
        [name for each in blocks for name in each.names],
        np.concatenate([each.devices for each in blocks]),
        np.concatenate([each.shapes for each in blocks]),
        np.concatenate([each.times for each in blocks]),
        np.concatenate([each.doubles for each in blocks]),
        np.concatenate([each.ints for each in blocks]),
        [row for each in blocks for row in each.texts],
    )
