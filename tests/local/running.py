"""`python -m tests.local.running FOLDER BASE`: a stack in a process that a test can kill; prints a URL when up."""

import signal
import sys
from pathlib import Path

from gateway.app.dev_servers.stack import LocalStack
from gateway.core.errors import LocalStackError


def main(folder: str, base: str) -> None:
    try:
        with LocalStack(Path(folder), mqtt_port=0, base=Path(base)) as stack:
            sys.stdout.write(f"{stack.database_url}\n")
            sys.stdout.flush()
            while True:
                signal.pause()
    except LocalStackError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
