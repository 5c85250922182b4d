"""All operations by the label of their route. A test says that there is one for each route, and no other."""

from gateway.web.openapi import (
    dead_letters,
    devices,
    health,
    history,
    ingest,
    live,
    overview,
    registry,
    state,
)

OPERATIONS = {
    **ingest.OPERATIONS,
    **state.OPERATIONS,
    **history.OPERATIONS,
    **live.OPERATIONS,
    **devices.OPERATIONS,
    **registry.OPERATIONS,
    **dead_letters.OPERATIONS,
    **overview.OPERATIONS,
    **health.OPERATIONS,
}
