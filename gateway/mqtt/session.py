"""The session: a persistent one, over one connection after the other, with a broker that comes and goes.

Reconnects with full jitter, also after a clean disconnect by the broker. It never ends on an error, never decides what
becomes of a message, and knows the client library only through `BrokerConnection`.
"""

import asyncio
import contextlib
from collections.abc import Callable
from random import Random

from gateway.core.backoff import full_jitter
from gateway.core.settings import MqttSettings
from gateway.mqtt.address import parse_address
from gateway.mqtt.connection import BrokerConnection, BrokerError
from gateway.mqtt.message import MqttMessage
from gateway.telemetry import mqtt_events

BACKOFF_BASE_SECS = 0.5
BACKOFF_CAP_SECS = 5.0
STEADY_SECS = 10.0
"""A connection that lasted this long was a good one: the next wait starts small again."""


class BrokerSession:
    """A subscription that is kept up until `close`. Raises SettingsError if the address cannot be read."""

    def __init__(self, settings: MqttSettings, subscription: str, *, client_id: str, rng: Random) -> None:
        self.connected = False
        """Whether the subscription stands."""
        self.last_error: str | None = None
        """Why it does not, for people; free of credentials."""
        self._address = parse_address(settings.url, ca_file=settings.ca_file)
        self._settings = settings
        self._subscription = subscription
        self._client_id = client_id
        self._rng = rng
        self._connection: BrokerConnection | None = None
        self._closing = asyncio.Event()

    async def run(self, on_message: Callable[[MqttMessage], None], *, on_lost: Callable[[], None]) -> None:
        """Hand over each message as it comes; returns after `close`.

        `on_message` must neither wait nor raise. `on_lost` is called after each connection, however short, when no
        message of it can be acknowledged any more and before the next one begins.
        """
        loop = asyncio.get_running_loop()
        attempt = 0
        while not self._closing.is_set():
            began = loop.time()
            try:
                self._failed(await self._live(on_message))
            except BrokerError as exc:
                self._failed(str(exc))
            except Exception as exc:  # noqa: BLE001 -- a worker must not lose MQTT to a mistake
                mqtt_events.session_failed(exc)
                self._failed(repr(exc))
            finally:
                self._drop()
                on_lost()
            attempt = 0 if loop.time() - began >= STEADY_SECS else attempt + 1
            await self._rest(attempt)

    def pause(self) -> None:
        """Read no more from the present connection."""
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """Read again."""
        if self._connection is not None:
            self._connection.resume()

    async def close(self) -> None:
        """Send the acknowledgements given so far and disconnect; the broker keeps the session. `run` then returns."""
        self._closing.set()
        if self._connection is not None and self.connected:
            await self._connection.farewell()

    async def _live(self, on_message: Callable[[MqttMessage], None]) -> str:
        """Connect, subscribe, and return why it ended."""
        connection = self._connection = BrokerConnection(
            self._address,
            on_message,
            client_id=self._client_id,
            receive_max=self._settings.receive_max,
            session_expiry_secs=self._settings.session_expiry_secs,
        )
        await connection.open(self._subscription)
        if self._closing.is_set():
            await connection.farewell()
            return ""
        self.connected, self.last_error = True, None
        mqtt_events.connected(self._address.shown, session_resumed=connection.session_resumed)
        return await connection.ended()

    def _failed(self, error: str) -> None:
        if self.connected and self._closing.is_set():
            mqtt_events.closed()
        elif self.connected:
            mqtt_events.lost(self._address.shown, error)
        elif error != self.last_error:
            mqtt_events.unreachable(self._address.shown, error)
        self.connected, self.last_error = False, error or None

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.drop()
        self._connection = None
        self.connected = False

    async def _rest(self, attempt: int) -> None:
        delay = full_jitter(attempt, base=BACKOFF_BASE_SECS, cap=BACKOFF_CAP_SECS, rng=self._rng)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), delay)
