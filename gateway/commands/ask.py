"""A question to a running gateway in, its JSON answer out, with an admin's key. Raises GatewayError with a cure."""

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from gateway.errors import GatewayError

KEY_ENV = "GATEWAY_KEY"
DEFAULT_KEY_FILE = Path(".local/admin.key")
"""Where `gateway up` leaves it."""
ANSWER_SECS = 30.0

Url = Annotated[str, Parameter(help="Address of the gateway.")]
KeyFile = Annotated[Path | None, Parameter(help=f"File with an admin key; else ${KEY_ENV}, else {DEFAULT_KEY_FILE}.")]
DEFAULT_URL = "http://127.0.0.1:8080"


class NoAnswer(GatewayError):
    """The gateway cannot be asked, or says no."""


def ask(url: str, path: str, *, key_file: Path | None, method: Literal["GET", "POST"] = "GET") -> bytes:
    """Return the body of a 200 answer to a request without a body. Raises NoAnswer."""
    address = url.rstrip("/") + path
    if not address.startswith(("http://", "https://")):
        raise NoAnswer(f"{url!r} is not an address; give one such as --url {DEFAULT_URL}")
    headers = {"Authorization": f"Bearer {_key(key_file)}"}
    request = urllib.request.Request(address, headers=headers, method=method)  # noqa: S310
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=ANSWER_SECS) as answer:
            body: bytes = answer.read()
    except urllib.error.HTTPError as exc:
        raise NoAnswer(f"{address} answers {exc.code}: {_detail(exc)}") from exc
    except OSError as exc:
        raise NoAnswer(f"no answer from {address}: {getattr(exc, 'reason', exc)}; is the gateway running?") from exc
    return body


def _key(key_file: Path | None) -> str:
    if key_file is None and os.environ.get(KEY_ENV):
        return os.environ[KEY_ENV].strip()
    path = key_file or DEFAULT_KEY_FILE
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise NoAnswer(f"cannot read the key file {str(path)!r}: {exc}; give --key-file, or set {KEY_ENV}") from exc


def _detail(answer: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(answer.read())["detail"])
    except (OSError, ValueError, KeyError, TypeError):
        return answer.reason
