"""In: nothing. Out: a gateway and a broker of a few lines, for each test that asks for one."""

from collections.abc import AsyncIterator

import pytest

from tests.fakes import fake_broker, fake_gateway
from tests.fakes.fake_broker import FakeBroker
from tests.fakes.fake_gateway import FakeGateway


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    """One that takes readings and answers as documented."""
    async with fake_gateway.running() as running:
        yield running


@pytest.fixture
async def broker() -> AsyncIterator[FakeBroker]:
    """One that acknowledges what is published."""
    async with fake_broker.running() as running:
        yield running
