"""In: a state in Redis. Out: the same, declared complete as a rebuild of an empty database would."""

from gateway.state.store import Progress, RedisState


async def complete(state: RedisState) -> None:
    """Let reads come from this state."""
    server = (await state.check()).server
    for step in ("begin", "finish"):
        assert await state.step(step, progress=Progress(0, 0), server=server)
