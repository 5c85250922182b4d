"""Ask until there is an answer: a request in, a response out that does not say "later". For questions, not for load."""

import asyncio

from simulator.core.errors import ConnectionLost, Unreachable
from simulator.core.json_objects import object_of
from simulator.send.drivers.http import HttpClient, Request
from simulator.send.drivers.http_reader import Response

_LATER = frozenset({429, 503})
TRIES, PAUSE_S = 20, 0.5


async def ask(client: HttpClient, request: Request, *, complaint: str) -> Response:
    """Return the response; a server may just have been restarted.

    Raises Unreachable, with the complaint and what was the matter, after ten seconds of trying.
    """
    problem = ""
    for _ in range(TRIES):
        try:
            response = await client.request(request)
        except ConnectionLost as error:
            problem = str(error)
        else:
            if response.status not in _LATER:
                return response
            problem = f"it answers with {said_by(response)}"
        await asyncio.sleep(PAUSE_S)
    raise Unreachable(f"{complaint}: {problem}.")


def said_by(response: Response) -> str:
    """Return the status of an answer, with the code of its problem if it has one."""
    return f"{response.status} {object_of(response.body).get('code', '')}".rstrip()
