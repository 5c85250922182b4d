"""The registration of a run's devices, and of a key of its own, through the gateway's public API, and their removal.

A gateway or a key that cannot do that leaves the run as it would be without: unknown devices must be let in then. What
was found out is told in notes. Never touches a device whose name does not begin with the run's.
"""

import asyncio
from collections.abc import Iterator
from itertools import islice
from urllib.parse import quote

import orjson

from simulator.core.errors import Unreachable, UsageError
from simulator.core.json_objects import object_of
from simulator.plan.faults import Fault
from simulator.plan.plan import Plan
from simulator.send.drivers.http import HttpClient, Request, ask, said_by
from simulator.send.drivers.http_reader import Response
from simulator.send.loads.spoil import GHOST

_LINES = 1_000
"""Devices registered in one call."""
_AT_ONCE = 8
_OK, _CREATED, _DONE, _NOT_FOUND = 200, 201, 204, 404
_UNSUPPORTED, _UNPROCESSABLE = 415, 422


class Registration:
    """What a run has registered. `notes` are for whoever reads the report."""

    def __init__(self, client: HttpClient, plan: Plan, *, is_begun: bool = False) -> None:
        """`client` speaks with the key that we were given: an admin's, if anything is to be registered.

        With `is_begun` the devices are there, as a run has left them.
        """
        self.notes: list[str] = []
        self.key = client.key
        """What readings are posted with: a key of the run's own, once there is one."""
        self._client = client
        self._plan = plan
        self._key_id: object = None
        self._names = list(device_names(plan)) if is_begun else []

    @property
    def is_registered(self) -> bool:
        """Whether anything is registered."""
        return bool(self._names)

    async def prepare(self) -> tuple[Fault, ...]:
        """Register what is to be registered, find out which faults are none here. Raises Unreachable, UsageError."""
        scenario = self._plan.scenario
        await self.check_zstd()
        if scenario.register:
            await self.register()
        asks = scenario.faults.unknown_device and scenario.gateway.unknown == "ask"
        if not asks or not await self.lets_strangers_in():
            return ()
        self.notes.append("unknown_device is no fault here: this gateway lets unknown devices in")
        return (Fault.UNKNOWN_DEVICE,)

    async def register(self) -> None:
        """Register every device, and make a key that may write them alone. Raises Unreachable."""
        names = device_names(self._plan)
        while some := list(islice(names, _LINES)):
            lines = b"\n".join(orjson.dumps({"device": name, "tags": {"simulator": self._plan.run}}) for name in some)
            response = await self._ask(Request("POST", "/v1/devices:import", lines, media="application/x-ndjson"))
            if response.status != _OK:
                self.notes.append(
                    f"devices were not registered: POST /v1/devices:import was answered {said_by(response)}"
                )
                return
            self._names += some
        key = {"role": "ingest", "prefix": f"{self._plan.prefix}-", "label": f"simulator {self._plan.run}"}
        response = await self._ask(Request("POST", "/v1/keys", orjson.dumps(key)))
        made = object_of(response.body)
        if response.status != _CREATED or "token" not in made:
            self.notes.append(f"no key was made for the run: POST /v1/keys was answered {said_by(response)}")
            return
        self.key, self._key_id = str(made["token"]), made["id"]

    async def lets_strangers_in(self) -> bool:
        """Find out by one reading whether the gateway takes readings of devices that it does not know."""
        name = f"{self._plan.prefix}-probe{GHOST}"
        item = {"device": name, "ts": self._plan.start_ms, "values": {"probe": 1.0}}
        response = await self._ask(Request("POST", "/v1/readings", orjson.dumps([item])))
        if response.status == _UNPROCESSABLE:
            return False
        self._names.append(name)
        return True

    async def check_zstd(self) -> None:
        """Raise UsageError if the gateway does not read zstd, which the scenario sends."""
        if not any("zstd" in spec.compression for spec in self._plan.scenario.fleets):
            return
        response = await self._ask(Request("POST", "/v1/readings", b"", encoding="zstd"))
        if response.status == _UNSUPPORTED:
            raise UsageError("This gateway does not read zstd, which the scenario compresses with: use gzip or none.")

    async def withdraw(self, *, keep_devices: bool = False) -> None:
        """Revoke the key, and remove the devices with all their readings. What cannot be removed is in the notes."""
        queue = iter(() if keep_devices else self._names)
        left: list[str] = []
        try:
            if self._key_id is not None:
                await self._ask(Request("DELETE", f"/v1/keys/{self._key_id}"))
            async with asyncio.TaskGroup() as group:
                for i in range(_AT_ONCE):
                    group.create_task(self._remove_all(queue, left), name=f"registration.remove[{i}]")
        except* Unreachable as errors:
            self.notes.append(f"not all was removed: {errors.exceptions[0]}")
        if left:
            self.notes.append(f"{len(left):,} devices could not be removed, {left[0]} among them")

    async def _remove_all(self, queue: Iterator[str], left: list[str]) -> None:
        for name in queue:
            response = await self._ask(Request("DELETE", f"/v1/devices/{quote(name)}?readings=delete"))
            if response.status not in {_OK, _DONE, _NOT_FOUND}:
                left.append(f"{name} ({said_by(response)})")

    async def _ask(self, request: Request) -> Response:
        """Ask until there is an answer that does not say "later". Raises Unreachable."""
        complaint = f"The gateway at {self._client.url} does not {request.method} {request.path}"
        return await ask(self._client, request, complaint=complaint)


def device_names(plan: Plan) -> Iterator[str]:
    """Yield the name of every device of a run."""
    for spec, fleet in zip(plan.scenario.fleets, plan.fleets, strict=True):
        for device in range(spec.devices):
            yield fleet.name(device)
