"""Every curl line of the README and the docs, run as it stands against a real gateway."""

import os
import subprocess

from tests.docs.pages import shell_lines
from tests.e2e.conftest import Serve
from tests.e2e.serving import ADMIN_KEY

TIMED_OUT = 28
"""curl's exit code at --max-time: a stream goes on as long as it is wanted."""


def test_every_documented_curl_line_works(serve: Serve) -> None:
    gateway = serve(mqtt=False)
    lines = [(page, line) for page, line in shell_lines() if line.startswith("curl ")]
    assert len(lines) >= 3
    for page, line in lines:
        endless = "curl -sSN" in line
        command = line.replace("http://127.0.0.1:8080", gateway.url) + " -w '\n%{http_code}'"
        command += " --max-time 2" if endless else ""
        done = subprocess.run(
            ["bash", "-c", command], env=os.environ | {"KEY": ADMIN_KEY}, capture_output=True, text=True, check=False
        )
        assert done.returncode == (TIMED_OUT if endless else 0), f"{page}: {line}\n{done.stderr}"
        assert done.stdout.rsplit("\n", 1)[1] in {"200", "207", "304"}, f"{page}: {line}\n{done.stdout}"
