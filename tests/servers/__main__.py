"""`python -m tests.servers up`: real servers for people and benches; prints URLs; ends with Ctrl-C or SIGTERM."""

import argparse
import signal
import sys
from contextlib import ExitStack

from gateway.core.errors import LocalStackError
from tests.servers import choose
from tests.servers.errors import NoGroundError
from tests.servers.mosquitto import Limits
from tests.servers.postgres import BENCH_TUNING


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both ends unwind the stack below
    try:
        with ExitStack() as stack:
            postgres = stack.enter_context(choose.timescale(BENCH_TUNING, port=options.postgres))
            valkey = stack.enter_context(choose.valkey(port=options.valkey))
            broker = stack.enter_context(choose.mosquitto(Limits(), port=options.mqtt))
            lines = (
                f"GATEWAY_DATABASE__URL={postgres.url()}",
                f"GATEWAY_REDIS__URL={valkey.url()}",
                f"GATEWAY_MQTT__URL={broker.url}",
            )
            sys.stdout.write("\n".join(lines) + "\n")
            sys.stdout.flush()
            while True:
                signal.pause()
    except (NoGroundError, LocalStackError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 0  # the stack above has stopped everything by now


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=__doc__)
    up = parser.add_subparsers(required=True).add_parser("up", help="start all three in the foreground")
    for name in ("postgres", "valkey", "mqtt"):
        up.add_argument(f"--{name}", type=int, metavar="PORT", help="default: a free one")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
