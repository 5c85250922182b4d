"""All operations by the label of their route. A test says that there is one for each route, and no other."""

from gateway.web.openapi import devices, fleet, history, ingest, letters, live, ops, registry, state

OPERATIONS = {
    **ingest.OPERATIONS,
    **state.OPERATIONS,
    **history.OPERATIONS,
    **live.OPERATIONS,
    **devices.OPERATIONS,
    **registry.OPERATIONS,
    **letters.OPERATIONS,
    **fleet.OPERATIONS,
    **ops.OPERATIONS,
}
