"""`gateway up`: the local stack, the gateway on it and, with --demo, simulated devices; all stop with us."""

import os
import secrets
import signal
import sys
import threading
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from msgspec.structs import replace

from gateway.app.cli.start import start
from gateway.app.dev_servers.child_process import Child
from gateway.app.dev_servers.own_files import write_private
from gateway.app.dev_servers.ports import need_port
from gateway.app.dev_servers.stack import LocalStack
from gateway.core.errors import StartError
from gateway.core.settings import Settings
from gateway.core.settings_file import to_env

KEY_BYTES = 32
READY_SECS = 120.0
BANNER = """
  The gateway is ready:   {url}      (health: {url}/readyz)
  See the fleet:          {url}/     (sign in with the admin key)
  Devices connect to:     {url}/v1/readings  and  {mqtt}
  The admin key lies in:  {key}

  Send a reading:
    curl -H "Authorization: Bearer $(cat {key})" \\
      -d '{{"device": "d1", "metric": "temperature", "value": 21.5}}' {url}/v1/readings
  See the newest state:
    curl -H "Authorization: Bearer $(cat {key})" {url}/v1/devices/{device}/state

  Ctrl-C stops everything; the data stays in {data}.
"""


def run_up(settings: Settings, *, data: Path, demo_devices: int) -> None:
    """Run until Ctrl-C or SIGTERM. Raises StartError when something cannot start."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it unwinds what was started
    need_port(settings.http.port, setting=to_env("http.port"))
    started = time.monotonic()
    print("Starting PostgreSQL, Valkey and the MQTT broker …", flush=True)
    with ExitStack() as parts:
        stack = parts.enter_context(LocalStack(data, mqtt_port=settings.mqtt.port))
        for note in stack.notes:
            print(note)
        key = admin_key(data / "admin.key", settings)
        ours = localised(settings, stack, data, key=key.read_text().strip())
        if demo_devices:
            demo = _demo(ours, stack, key, devices=demo_devices, log=data / "log" / "demo.log")
            demo.start(lambda: True)
            parts.callback(demo.stop)
        banner = BANNER.format(
            url=address(ours),
            mqtt=stack.device_mqtt_url,
            key=key,
            data=data,
            device="demo-00000" if demo_devices else "d1",
        )
        threading.Thread(target=_announce, args=(ours, banner, started), name="banner", daemon=True).start()
        start(ours)
    print("Stopped.")


def localised(settings: Settings, stack: LocalStack, data: Path, *, key: str) -> Settings:
    """Point the settings at the local stack; what only production needs is off, what was set otherwise stays."""
    unknown = settings.devices.unknown if to_env("devices.unknown") in os.environ else "auto"
    drain = settings.http.drain_secs if to_env("http.drain_secs") in os.environ else 0.0
    return replace(
        settings,
        http=replace(settings.http, drain_secs=drain),
        database=replace(settings.database, url=stack.database_url),
        redis=replace(settings.redis, url=stack.redis_url),
        # Never shared here: the local broker (rumqttd) panics when a member of a shared subscription is killed.
        mqtt=replace(settings.mqtt, url=stack.mqtt_url, share=""),
        auth=replace(settings.auth, admin_key=key),
        spool=replace(settings.spool, dir=str(data / "spool")),
        devices=replace(settings.devices, unknown=unknown),
    )


def admin_key(path: Path, settings: Settings) -> Path:
    """Return the file with the admin key (mode 0600): the one that is set, or one made at the first start."""
    wanted = settings.auth.admin_key
    try:
        if wanted or not path.exists():
            write_private(path, (wanted or "gwa_" + secrets.token_urlsafe(KEY_BYTES)) + "\n")
    except OSError as exc:
        raise StartError(f"cannot write the admin key to {str(path)!r}: {exc.strerror}") from exc
    return path


def address(settings: Settings) -> str:
    """Return the URL under which people on this machine reach the gateway."""
    host = settings.http.host
    return f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{settings.http.port}"  # noqa: S104


def _demo(settings: Settings, stack: LocalStack, key: Path, *, devices: int, log: Path) -> Child:
    command = [sys.executable, "-m", "simulator", "demo", "--devices", str(devices), "--url", address(settings)]
    return Child("the demo", [*command, "--mqtt", stack.device_mqtt_url, "--key-file", str(key.absolute())], log=log)


def _announce(settings: Settings, banner: str, started: float) -> None:
    """Wait until the gateway answers, then tell how to use it."""
    deadline = time.monotonic() + READY_SECS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address(settings)}/readyz", timeout=2):  # noqa: S310 - http, to ourselves
                print(f"Ready after {time.monotonic() - started:.1f} s.\n{banner}", flush=True)
                return
        except OSError:
            time.sleep(0.1)
