"""The gateway behind the page, as its devices and its operators use it."""

import asyncio
import time
from types import TracebackType
from typing import Any, Self

import aiomqtt

from tests.builders.mqtt import parts
from tests.e2e.serving import ADMIN_KEY, Gateway
from tests.servers import plain_http

ANSWER_SECS = 20.0


class Site:
    """A running gateway; every call is an admin's and must succeed."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.url = gateway.url
        self._client = plain_http.Client(
            base_url=gateway.url,
            headers={"Authorization": f"Bearer {ADMIN_KEY}"},
            timeout=ANSWER_SECS,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def ask(self, method: str, path: str, body: object = None) -> Any:
        answer = self._client.request(method, path, json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def text(self, path: str) -> str:
        return self._client.get(path).raise_for_status().text

    def add(self, *devices: str, **tags: str) -> None:
        for device in devices:
            self.ask("POST", "/v1/devices", {"device": device, "tags": tags})

    def post(self, device: str, **values: object) -> None:
        """One message of now."""
        self.ask("POST", "/v1/readings", {"device": device, "ts": time.time_ns(), "values": values})

    def publish(self, topic: str, *bodies: bytes) -> None:
        """Over MQTT, acknowledged."""
        url = self.gateway.environ["GATEWAY_MQTT__URL"]
        asyncio.run(parts.publish(url, topic, list(bodies), version=aiomqtt.ProtocolVersion.V5))
