"""All operations by the label of their route. A test says that there is one for each route, and no other."""

from gateway.web.openapi import (
    dead_letters as letters,
)
from gateway.web.openapi import (
    devices,
    history,
    ingest,
    live,
    registry,
    state,
)
from gateway.web.openapi import (
    health as ops,
)
from gateway.web.openapi import (
    overview as fleet,
)

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
