"""A store of credentials that answers what it is told, when it is told: the outside world of the authenticator."""

import asyncio
from collections.abc import Callable, Collection

import pytest

from gateway.core.errors import GatewayError
from gateway.domain.credentials import digest_of
from gateway.domain.principal import Grant, Principal, Role

TOKEN = "gwd_" + "t0kEn-_x" * 5 + "end"
DIGEST = digest_of(TOKEN)
HEADER = f"Bearer {TOKEN}"
DEVICE = Principal(Role.DEVICE, "d1")
ADMIN_KEY = "a-bootstrap-key"
Answer = Grant | GatewayError


class ScriptedStore:
    """`contracts.Credentials` that answers what it is told, when it is told."""

    def __init__(self) -> None:
        self.answers: dict[bytes, Answer] = {}
        self.asked: list[bytes] = []
        self.questions: list[int] = []
        """How many tokens each question was about."""
        self.running = 0
        self.most_running = 0
        self.open = asyncio.Event()
        self.open.set()

    async def find(self, digests: Collection[bytes]) -> dict[bytes, Grant]:
        read = {digest: self.answers[digest] for digest in digests if digest in self.answers}  # now, and given later
        self.asked += digests
        self.questions.append(len(digests))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self.open.wait()
        finally:
            self.running -= 1
        for answer in read.values():
            if isinstance(answer, GatewayError):
                raise answer
        return {digest: answer for digest, answer in read.items() if isinstance(answer, Grant)}


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until the condition holds; nothing here needs real time."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    pytest.fail("the condition never came to hold")
