"""HTTP clients without TLS: httpx reads every certificate of the world for each client that it makes, 30 ms of CPU."""

import ssl
from functools import partial

import httpx

_NONE = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

Client = partial(httpx.Client, verify=_NONE)
AsyncClient = partial(httpx.AsyncClient, verify=_NONE)
get = partial(httpx.get, verify=_NONE)
post = partial(httpx.post, verify=_NONE)
put = partial(httpx.put, verify=_NONE)
patch = partial(httpx.patch, verify=_NONE)
delete = partial(httpx.delete, verify=_NONE)
stream = partial(httpx.stream, verify=_NONE)
