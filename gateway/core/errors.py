"""Errors: every way to say no to a call, as one tree. Why one reading may not come in is in domain/reasons.py.

    GatewayError
    ├── ClientError          the caller must change something (4xx)
    │   ├── BadPayload       400  the body cannot be read at all
    │   ├── Unauthorized     401  no credential, or one that is not valid
    │   ├── Forbidden        403  a valid credential that may not do this
    │   ├── NotFound, UnknownDevice 404
    │   ├── DeviceExists, DeviceHasReadings 409  the name is taken; it would leave readings without a device
    │   ├── PreconditionFailed 412 somebody else was faster
    │   ├── HeadTimeout, BodyTimeout 408  the head, or the body, did not arrive in time
    │   ├── TooLarge 413 (`limit` names the setting that was hit), UnsupportedMedia 415
    │   ├── UpgradeRequired  426  this address speaks WebSocket only
    │   ├── IdempotencyInProgress 409, IdempotencyMismatch 422
    │   ├── TooManyFromAddress, TooManyStreams, TooManyAtOnce 429  `limit` names what is full
    │   ├── RateLimited      429  faster than a limit allows (`retry_after` seconds)
    │   ├── BadRequest       422  readable, but with a parameter that cannot be served
    │   └── AtomicTooWide, TooManyBuckets 422  more time than one transaction can touch, or one call answers
    ├── Unavailable          503  the same call may succeed later (`retry_after` seconds)
    │   ├── Overloaded, TooManyConnections  a bound is reached; `limit` names it
    │   ├── SinkUnavailable       the database cannot be reached
    │   ├── SpoolFull, SpoolFault the database is away, and the spool is full or cannot be written
    │   ├── StateUnavailable      Redis cannot be reached
    │   ├── QueryTimeout          a read took longer than it may
    │   └── Draining              this process is stopping
    ├── SinkFault            503  the database refuses everything: a standing fault for the operator
    └── StartError           the process cannot start: settings, migrations, ports, local stack

Status, code and whether a retry can help are attributes; nobody asks with isinstance chains.
"""

from typing import Any, ClassVar


class GatewayError(Exception):
    """Something went wrong that a caller is told about. The docstring is the default message."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    retry_after: float | None = None
    advice = ""
    """What an operator can do about it; callers are not told."""

    def __init__(self, message: str = "", *, retry_after: float | None = None, **details: object) -> None:
        self.message = message or (self.__doc__ or self.code).strip().splitlines()[0]
        self.retry_after = self.retry_after if retry_after is None else retry_after
        self.details: dict[str, Any] = details
        super().__init__(self.message)


class ClientError(GatewayError):
    """The request cannot be served as it is."""

    status = 400
    code = "bad_request"


class BadPayload(ClientError):
    """The body cannot be read."""

    code = "bad_payload"


class Unauthorized(ClientError):
    """A valid credential is needed: send it as 'Authorization: Bearer <token>'."""

    status = 401
    code = "unauthorized"


class Forbidden(ClientError):
    """This credential may not do that."""

    status = 403
    code = "forbidden"


class NotFound(ClientError):
    """There is no such thing here."""

    status = 404
    code = "not_found"


class UnknownDevice(NotFound):
    """No device of this name is known here; register it, or let it send readings."""

    code = "unknown_device"


class DeviceExists(ClientError):
    """A device of this name exists already."""

    status = 409
    code = "device_exists"


class DeviceHasReadings(ClientError):
    """The device has reported readings; say that they go with it: readings=delete."""

    status = 409
    code = "device_has_readings"


class PreconditionFailed(ClientError):
    """It was changed since you read it; read it again, and send its new ETag as If-Match."""

    status = 412
    code = "precondition_failed"


class BodyTimeout(ClientError):
    """The body did not arrive in time."""

    status = 408
    code = "body_timeout"


class HeadTimeout(ClientError):
    """The head of the request did not arrive in time."""

    status = 408
    code = "request_timeout"


class TooLarge(ClientError):
    """The body is larger than this gateway takes; send it in parts."""

    status = 413
    code = "too_large"


class UnsupportedMedia(ClientError):
    """The body's media type or encoding is not one this gateway reads."""

    status = 415
    code = "unsupported_media"


class UpgradeRequired(ClientError):
    """This address speaks WebSocket (RFC 6455) only; for plain HTTP there is /v1/stream."""

    status = 426
    code = "upgrade_required"


class IdempotencyInProgress(ClientError):
    """The first request with this Idempotency-Key is still running; ask again for its answer."""

    status = 409
    code = "idempotency_in_progress"
    retry_after = 1.0


class IdempotencyMismatch(ClientError):
    """This Idempotency-Key was used for another request; use a new key for each body."""

    status = 422
    code = "idempotency_mismatch"


class BadRequest(ClientError):
    """A parameter of the request cannot be served."""

    status = 422
    code = "bad_parameter"


class AtomicTooWide(ClientError):
    """The body touches more time than one transaction can; send it without 'atomic', or in parts."""

    status = 422
    code = "atomic_too_wide"


class TooManyFromAddress(ClientError):
    """As many connections are open from one address as may be."""

    status = 429
    code = "too_many_from_address"
    retry_after = 1.0


class TooManyStreams(ClientError):
    """As many streams of changes are open here as may be; close one, or try again later."""

    status = 429
    code = "too_many_streams"
    retry_after = 5.0


class TooManyAtOnce(ClientError):
    """This credential has as many of these under way as it may; wait for one to end."""

    status = 429
    code = "too_many_at_once"
    retry_after = 1.0


class RateLimited(ClientError):
    """More came than a limit allows; come back later."""

    status = 429
    code = "rate_limited"
    retry_after = 1.0


class TooManyBuckets(ClientError):
    """The time asked for holds more buckets than are answered in one call."""

    status = 422
    code = "too_many_buckets"


class Unavailable(GatewayError):
    """The gateway cannot take this now; the same request may succeed later."""

    status = 503
    code = "unavailable"
    retry_after = 1.0


class Overloaded(Unavailable):
    """The write queue is full."""

    code = "overloaded"


class TooManyConnections(Unavailable):
    """As many connections are open as may be."""

    code = "too_many_connections"


class SinkUnavailable(Unavailable):
    """The database cannot be reached."""

    code = "database_unavailable"


class StateUnavailable(Unavailable):
    """The state store (Redis) cannot be reached."""

    code = "state_unavailable"


class QueryTimeout(Unavailable):
    """The question took longer than one may; ask for less at once."""

    code = "query_timeout"


class Draining(Unavailable):
    """This gateway is stopping; another one takes over."""

    code = "draining"


class SpoolFull(Unavailable):
    """The database cannot be reached and the spool is full."""

    code = "spool_full"


class SpoolFault(Unavailable):
    """The database cannot be reached and the spool cannot be written."""

    code = "spool_fault"


class SinkFault(GatewayError):
    """The database refuses every write; an operator must look (see /readyz)."""

    status = 503
    code = "database_fault"
    retry_after = 5.0


class StartError(GatewayError):
    """The gateway cannot start."""

    code = "start_failed"


class SettingsError(StartError):
    """A setting is wrong."""

    code = "bad_setting"


class MigrationError(StartError):
    """The database's schema cannot be brought up to date."""

    code = "migration_failed"


class LocalStackError(StartError):
    """The local stack cannot start."""

    code = "local_stack_failed"
