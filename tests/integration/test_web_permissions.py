"""Who may call what, asked of a running server: each operation by each role that may not."""

import re
from collections.abc import AsyncIterator
from itertools import product

import httpx
import pytest_asyncio

from gateway.domain.principal import Role
from gateway.web.http.call import Operation
from gateway.web.operations import OPERATIONS
from tests.integration.tight import code_of
from tests.integration.web_server import TOKENS, Door, serving
from tests.servers import plain_http

GUARDED = [one for one in OPERATIONS if one.access.roles]


@pytest_asyncio.fixture(name="door")
async def running() -> AsyncIterator[Door]:
    async with serving() as door:
        yield door


def address(operation: Operation, device: str = "d1") -> str:
    """An address of the operation: of this device, or of something numbered 7."""
    return re.sub(r"\{(\w+)[^}]*\}", lambda found: device if found[1] == "device" else "7", operation.path)


async def told(door: Door, operation: Operation, token: str | None, device: str = "d1") -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    headers |= {"Sec-WebSocket-Protocol": f"gateway.v1, bearer.{token}"} if token and operation.upgrades else {}
    async with plain_http.AsyncClient(base_url=f"http://127.0.0.1:{door.port}", trust_env=False) as client:
        return await client.request(operation.method, address(operation, device), headers=headers)


async def test_without_a_credential_every_guarded_operation_is_401(door: Door) -> None:
    for operation, token in product(GUARDED, (None, "nonsense")):
        answer = await told(door, operation, token)
        assert (answer.status_code, code_of(answer.content)) == (401, "unauthorized"), operation.label
        assert answer.headers["www-authenticate"] == "Bearer"
    assert not door.intake.taken


async def test_with_a_role_that_may_not_it_is_403(door: Door) -> None:
    refused = 0
    for operation, (token, principal) in product(GUARDED, TOKENS.items()):
        if principal.role not in operation.access.roles:
            answer = await told(door, operation, token)
            assert (answer.status_code, code_of(answer.content)) == (403, "forbidden"), (operation.label, token)
            refused += 1
    assert refused == 60
    assert not door.intake.taken


async def test_of_another_device_it_is_403_also_where_the_role_may(door: Door) -> None:
    tokens = {"d1": Role.DEVICE, "ingest": Role.INGEST}
    for operation, (token, role) in product([one for one in GUARDED if "{device}" in one.path], tokens.items()):
        for _ in range(2):  # the second time the credential is known, and the fast path could answer
            answer = await told(door, operation, token, device="x1")
            assert (answer.status_code, code_of(answer.content)) == (403, "forbidden"), (operation.label, token)
        assert ("x1" in answer.text) == (role in operation.access.roles)
    assert not door.intake.taken
    assert not door.live.asked_soon
