"""The ledger of the gateway, for admins: whichever worker is asked, that of all workers. Changes nothing."""

from gateway.telemetry import ledger_events
from gateway.web.context import Context
from gateway.web.http.call import Call, NoQuery
from gateway.web.http.responses import NO_STORE, Answer


def get_ledger(_call: Call[NoQuery, None], _parts: Context) -> Answer:
    """Answer with the readings taken in and what became of them, per source, since the gateway started."""
    return Answer(ledger_events.read(), headers=NO_STORE)
