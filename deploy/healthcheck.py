# noqa: INP001 - a script of the image, part of no package
"""In: GATEWAY_HTTP__PORT. Out: exit code 0 if /readyz on this machine answers 200, else 1. Needs no package at all."""

import http.client
import os
import sys

TIMEOUT_SECS = 3.5
"""Just more than /readyz itself waits for its parts, and less than the container engine waits for us."""
READY = 200


def main() -> int:
    """Ask once and tell."""
    port = int(os.environ.get("GATEWAY_HTTP__PORT") or 8080)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        sys.stdout.write(f"{answer.status} {answer.read().decode(errors='replace')}\n")
    except (OSError, http.client.HTTPException) as exc:
        sys.stdout.write(f"no answer on port {port}: {exc!r}\n")
        return 1
    finally:
        connection.close()
    return 0 if answer.status == READY else 1


if __name__ == "__main__":
    sys.exit(main())
