"""An authenticator on a store that does what the test says, which knows one device, and on a clock set by hand."""

import pytest

from gateway.domain.principal import Grant
from gateway.ingest.admission.auth import TokenAuthenticator
from tests.fakes.clock import ManualClock
from tests.unit.ingest.admission.scripted_store import ADMIN_KEY, DEVICE, DIGEST, ScriptedStore


@pytest.fixture
def store() -> ScriptedStore:
    store = ScriptedStore()
    store.answers[DIGEST] = Grant(DEVICE)
    return store


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def authenticator(store: ScriptedStore, clock: ManualClock) -> TokenAuthenticator:
    return TokenAuthenticator(store, admin_key=ADMIN_KEY, clock=clock)
