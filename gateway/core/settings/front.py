"""Settings of the front: HTTP, MQTT, live streams, credentials, limits of callers."""

from typing import Annotated, Literal

from msgspec import Meta

from gateway.core.settings.section import Count, PerSecond, Port, Seconds, Section


class HttpSettings(Section, frozen=True):
    """HTTP: how it listens, and what it takes."""

    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="Port to listen on.")] = 8080
    workers: Annotated[Count, Meta(description="Worker processes; one consumes MQTT.")] = 1
    max_body_bytes: Annotated[Count, Meta(description="Largest request body, as sent.")] = 8 * 2**20
    max_inflated_bytes: Annotated[Count, Meta(description="Largest body after decompression.")] = 32 * 2**20
    max_inflated_ratio: Annotated[
        Count,
        Meta(description="Largest body after decompression, as a multiple of what was sent; 64 KiB are always taken."),
    ] = 200
    max_readings: Annotated[Count, Meta(description="Most readings in one request.")] = 100_000
    head_deadline_secs: Annotated[
        Seconds,
        Meta(description="Time a new connection may take to say something, and a request's head to arrive whole."),
    ] = 15.0
    keep_alive_secs: Annotated[
        Seconds,
        Meta(description="How long a connection may be idle between two requests; keep it above your load balancer's."),
    ] = 75.0
    body_deadline_secs: Annotated[Seconds, Meta(description="Time a whole body may take to arrive.")] = 30.0
    body_min_bytes_per_sec: Annotated[
        PerSecond,
        Meta(description="How fast a body must arrive, on average, once it has taken 10 s; 0 = any."),
    ] = 500
    max_inflight_bytes: Annotated[
        Count, Meta(description="Bodies being read at once, together; above it new ones get 503.")
    ] = 256 * 2**20
    max_connections: Annotated[
        Count,
        Meta(
            description="Connections a worker holds at once, streams and WebSockets among them; beyond it new ones get"
            " 503. Fewer if the limit of open files is lower."
        ),
    ] = 10_000
    max_connections_per_address: Annotated[
        int,
        Meta(
            ge=0,
            description="Connections of one address (IPv6: of one /64) that a worker holds at once; beyond it new ones"
            " get 429. Not for `proxies`. 0 = no limit of its own.",
        ),
    ] = 5_000
    max_unread_bytes: Annotated[
        int,
        Meta(
            ge=2**20,
            description="Answers a worker has made and their readers have not taken, together; above it the slowest"
            " readers are cut off, and large answers get 503.",
        ),
    ] = 64 * 2**20
    stall_secs: Annotated[
        Seconds,
        Meta(description="A reader that does not take what it is sent for so long is cut off; streams have their own."),
    ] = 30.0
    drain_secs: Annotated[
        float, Meta(ge=0, description="Time between answering 503 on /readyz and closing the port, on SIGTERM.")
    ] = 1.0
    grace_secs: Annotated[Seconds, Meta(description="Longest wait for requests under way on SIGTERM.")] = 25.0
    idempotency_hours: Annotated[
        Count, Meta(le=720, description="How long the answer to a request with an Idempotency-Key is kept, in Redis.")
    ] = 24
    idempotency_bytes: Annotated[
        int,
        Meta(
            ge=2**20,
            description="Bytes of such answers in Redis, and never more than an eighth of its maxmemory; beyond it the"
            " oldest of whoever holds most go.",
        ),
    ] = 64 * 2**20
    idempotency_credential_bytes: Annotated[
        int,
        Meta(
            ge=2**17,
            description="Bytes of them for one key, or for one device; beyond it its own oldest go. A plain receipt"
            " takes about 350.",
        ),
    ] = 4 * 2**20
    access_log: Annotated[bool, Meta(description="Log one line a request (triples its cost).")] = False
    proxies: Annotated[
        str,
        Meta(
            description="Proxies that are believed when they name a caller's address, as addresses or networks (CIDR)"
            " separated by commas; empty = none."
        ),
    ] = ""
    proxy_header: Annotated[
        Literal["x-forwarded-for", "forwarded"],
        Meta(description="Where they say it; they must set or extend it on every request."),
    ] = "x-forwarded-for"


class MqttSettings(Section, frozen=True):
    """MQTT: the broker, and what is taken from it."""

    url: Annotated[str, Meta(description="Broker, mqtt:// or mqtts:// with user:password@; empty = off.")] = ""
    topic: Annotated[str, Meta(description="Where devices publish; {device} is the level that names the device.")] = (
        "devices/{device}/readings"
    )
    receipts: Annotated[
        str,
        Meta(description="Where a device may be answered, if its Response Topic says so; {device} is its own name."),
    ] = "devices/{device}/receipts"
    share: Annotated[
        str, Meta(description="Shared subscription group of several gateways; empty = one gateway consumes all.")
    ] = ""
    client_id: Annotated[str, Meta(description="Stable session name; must differ between gateways.")] = "device-gateway"
    receive_max: Annotated[
        int, Meta(ge=1, le=65535, description="Messages the broker may send before they are acknowledged.")
    ] = 1000
    session_expiry_secs: Annotated[
        Count, Meta(description="How long the broker keeps messages for a gateway that is away.")
    ] = 86_400
    max_payload_bytes: Annotated[Count, Meta(description="Largest message; larger ones are dead-lettered.")] = 2**20
    port: Annotated[Port, Meta(description="Where the broker of `gateway up` listens for devices.")] = 1883
    ca_file: Annotated[str, Meta(description="CA certificates for mqtts://; empty = the system's.")] = ""


class LiveSettings(Section, frozen=True):
    """The stream of changes: SSE and WebSocket."""

    max_streams: Annotated[
        Count, Meta(description="Streams a worker serves at once, each subscription of a WebSocket counted; then 429.")
    ] = 2000
    max_streams_per_credential: Annotated[Count, Meta(description="Of these, those of one key; then 429.")] = 1500
    max_streams_per_device: Annotated[
        Count, Meta(description="Of these, those with the tokens of one device together; then 429.")
    ] = 100
    replay_secs: Annotated[
        int, Meta(ge=300, le=86_400, description="How far back a reader that comes back may continue, at least.")
    ] = 300
    replay_bytes: Annotated[
        int,
        Meta(
            ge=2**16,
            description="Bytes of changes kept in Redis for that, and never more than a quarter of its maxmemory; a"
            " busier gateway reaches less far back.",
        ),
    ] = 64 * 2**20
    mailbox_bytes: Annotated[
        int, Meta(ge=2**12, description="Changes that wait for one reader; beyond it only the newest values are kept.")
    ] = 256 * 2**10
    stall_secs: Annotated[Seconds, Meta(description="A reader that takes nothing for so long is cut off.")] = 30.0
    ping_secs: Annotated[
        float, Meta(ge=1, le=60, description="Silence after which a reader is sent a sign of life.")
    ] = 15.0


class AuthSettings(Section, frozen=True):
    """Credentials."""

    admin_key: Annotated[str, Meta(description="A bootstrap admin key, valid as long as it is set; empty = none.")] = ""
    refresh_ms: Annotated[
        Count, Meta(le=1000, description="How often revoked credentials and changed devices are looked for.")
    ] = 400
    max_look_ups: Annotated[
        Count,
        Meta(
            description="Tokens that a worker does not know and that wait to be looked up, half of them of one address;"
            " then 503."
        ),
    ] = 8192
    refusals_per_sec: Annotated[
        float,
        Meta(
            gt=0,
            description="Requests without a valid credential that a worker refuses at once; beyond it their answers are"
            " held back for up to 2 s.",
        ),
    ] = 200.0
    grace_secs: Annotated[
        Seconds,
        Meta(
            description="How long streams and exports go on, and begin, while changes of credentials cannot be heard"
            " from the database; the bootstrap key has none."
        ),
    ] = 300.0


class LimitSettings(Section, frozen=True):
    """How fast callers may be; 0 = no limit. HTTP workers share each limit evenly."""

    device_requests_per_sec: Annotated[
        PerSecond, Meta(description="Requests with tokens of one device; over MQTT messages of one device.")
    ] = 0
    device_readings_per_sec: Annotated[
        PerSecond, Meta(description="Readings with tokens of one device; over MQTT of one device.")
    ] = 0
    device_bytes_per_sec: Annotated[
        PerSecond, Meta(description="Bytes of readings with tokens of one device, as sent; over MQTT of one device.")
    ] = 0
    key_requests_per_sec: Annotated[PerSecond, Meta(description="Requests of one ingest, reader or admin key.")] = 0
    key_readings_per_sec: Annotated[PerSecond, Meta(description="Readings of one ingest or admin key.")] = 0
    key_bytes_per_sec: Annotated[
        PerSecond, Meta(description="Bytes of readings of one ingest or admin key, as sent.")
    ] = 0
    address_requests_per_sec: Annotated[
        PerSecond, Meta(description="Requests from one address (IPv6: from one /64), with or without a credential.")
    ] = 0
    address_readings_per_sec: Annotated[PerSecond, Meta(description="Readings from one address.")] = 0
    address_bytes_per_sec: Annotated[PerSecond, Meta(description="Bytes of readings from one address, as sent.")] = 0
    backfill_readings_per_sec: Annotated[
        PerSecond,
        Meta(
            description="Readings of one credential with backfill=true; if set, they do not count against its other"
            " limits of readings and bytes."
        ),
    ] = 0
    burst_secs: Annotated[
        Seconds, Meta(le=3600, description="What may come at once after a quiet time, in seconds of each limit.")
    ] = 10.0
    lists_per_credential: Annotated[
        Count,
        Meta(
            description="Lists, and newest values of many devices, that one credential reads at once in a worker;"
            " others of it wait for 2 s, then get 429."
        ),
    ] = 8
    jobs_per_credential: Annotated[
        Count,
        Meta(
            description="Imports of devices and replays of dead letters that one credential has under way at once in a"
            " worker; others of it wait for 2 s, then get 429."
        ),
    ] = 2
    max_callers: Annotated[
        Count, Meta(description="Callers remembered for each limit; beyond it those quiet for longest begin anew.")
    ] = 100_000
