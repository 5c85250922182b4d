"""How many files a process may have open: what a plan needs in, the soft limit raised to it. Never the hard one."""

import resource

from simulator.core.errors import UsageError
from simulator.plan.plan import Plan

_SPARE = 256
"""For the ledger, slow sockets, connections that are being made anew while the old ones end, and Python itself."""


def files_needed(plan: Plan, worker: int) -> int:
    """Return how many files a worker of a plan has open at a time, at the most."""
    over_mqtt = sum(part.connections for part in plan.parts() if part.worker == worker)
    return over_mqtt + plan.scenario.connections // plan.workers + _SPARE


def check_files(plan: Plan) -> None:
    """Raise UsageError if the hard limit is too low for a worker."""
    needed = max(files_needed(plan, worker) for worker in range(plan.workers))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise UsageError(
            f"Each process that sends needs {needed:,} open files, and the limit here is {hard:,}: raise it "
            f"(ulimit -n {needed}, or LimitNOFILE= of systemd), use more --workers, or fewer --mqtt-connections."
        )


def raise_limit(plan: Plan, worker: int) -> None:
    """Let this process open what a worker needs, as far as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = files_needed(plan, worker)
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
