"""Client of a running gateway's API: a question → its JSON answer, with an admin's key. Raises GatewayError."""

import http.client
import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from gateway.core.errors import GatewayError
from gateway.core.masking import masked

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
    """Return the body of a 200 answer to a request without a body. Raises NoAnswer, never with a password or a key."""
    address, shown = url.rstrip("/") + path, masked(url).rstrip("/") + path
    headers = {"Authorization": f"Bearer {_key(key_file)}"}
    try:
        if not address.startswith(("http://", "https://")):
            raise ValueError
        request = urllib.request.Request(address, headers=headers, method=method)  # noqa: S310
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=ANSWER_SECS) as answer:
            body: bytes = answer.read()
    except urllib.error.HTTPError as exc:
        raise NoAnswer(f"{shown} answers {exc.code}: {_detail(exc)}") from exc
    except OSError as exc:
        raise NoAnswer(f"no answer from {shown}: {getattr(exc, 'reason', exc)}; is the gateway running?") from exc
    except (ValueError, http.client.InvalidURL):  # their words may quote a part of the password
        raise NoAnswer(f"{masked(url)!r} is not an address; give one such as --url {DEFAULT_URL}") from None
    except http.client.HTTPException as exc:
        raise NoAnswer(f"no HTTP answer from {shown} ({type(exc).__name__}); is it the gateway's address?") from exc
    return body


def _key(key_file: Path | None) -> str:
    if key_file is None and os.environ.get(KEY_ENV):
        return _one_word(os.environ[KEY_ENV], where=KEY_ENV)
    path = key_file or DEFAULT_KEY_FILE
    try:
        text = path.read_text(encoding="ascii")
    except OSError as exc:
        raise NoAnswer(
            f"cannot read the key file {str(path)!r}: {exc.strerror}; give --key-file, or set {KEY_ENV}"
        ) from exc
    except UnicodeDecodeError:
        raise NoAnswer(f"the key file {str(path)!r} must hold one key and nothing else") from None
    return _one_word(text, where=f"the key file {str(path)!r}")


def _one_word(text: str, *, where: str) -> str:
    words = text.split()
    if len(words) != 1 or not (words[0].isascii() and words[0].isprintable()):
        raise NoAnswer(f"{where} must hold one key and nothing else")
    return words[0]


def _detail(answer: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(answer.read())["detail"])
    except (OSError, ValueError, KeyError, TypeError):
        return answer.reason
