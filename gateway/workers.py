"""Settings in, a serving group of processes out: the main process, N workers, a watchdog. Knows nothing of requests.

    main       binds the port, starts workers, passes SIGTERM and SIGINT on, waits for all
    worker     one Sanic server with its own event loop and its own parts; dies with the main process
    watchdog   asks the main process to start a dead worker again (Sanic does not: its issue 3062), and ends the helper
               process of `multiprocessing` when the main process was killed

Each worker leads its own process group: a Ctrl-C in a terminal reaches only the main process, which stops the workers
in order, and Sanic's own kill, which takes the whole group of a worker, takes nobody else.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass
