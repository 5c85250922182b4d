"""What this machine is, in one line. Only reads."""

import os
import platform
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")


def describe(cpu_info: Path = _CPU_INFO) -> str:
    """Return its CPU, cores and system, and the Python we run on."""
    cores = len(os.sched_getaffinity(0))
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{_cpu(cpu_info)}, {cores} cores, {platform.system()} {platform.release()}, {python}"


def _cpu(cpu_info: Path) -> str:
    try:
        lines = cpu_info.read_text().splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())
