"""Settings from the file and the environment: a typo stops the start, and every complaint is in our words."""

from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from gateway.core.errors import SettingsError
from gateway.core.masking import MASK
from gateway.core.settings import Settings
from gateway.core.settings_file import OTHERS, describe, load, to_env, with_env

SECRET = "hunter2"
PATHS = [one.path for one in describe(Settings())]
TEXTS = [one.path for one in describe(Settings()) if isinstance(one.default, str)]
ENDING = "; 'gateway settings' lists them all"


def complaint(environ: dict[str, str], toml: str = "", folder: Path | None = None) -> str:
    path = None
    if folder is not None:
        path = folder / "gateway.toml"
        path.write_text(toml)
    with pytest.raises(SettingsError) as caught:
        load(path, environ)
    assert caught.value.message.endswith(ENDING)
    return caught.value.message.removesuffix(ENDING)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("GATEWAY_HTTP_PORT", " (did you mean GATEWAY_HTTP__PORT?)"),
        ("GATEWAY_HTTP__PROT", " (did you mean GATEWAY_HTTP__PORT?)"),
        ("GATEWAY__HTTP__PORT", " (did you mean GATEWAY_HTTP__PORT?)"),
        ("GATEWAY_DATABASE_URL", " (did you mean GATEWAY_DATABASE__URL?)"),
        ("GATEWAY_AUTH_ADMIN_KEY", " (did you mean GATEWAY_AUTH__ADMIN_KEY?)"),
        ("GATEWAY_CONFIGS", " (did you mean GATEWAY_CONFIG?)"),
        ("GATEWAY_HTTP__", ""),
        ("GATEWAY_", ""),
        ("GATEWAY_XYZZY", ""),
    ],
)
def test_a_name_that_is_none_stops_the_start_and_the_nearest_is_named(name: str, meant: str) -> None:
    said = complaint({name: SECRET})
    assert said.startswith(f"{name} is no setting")
    if meant:
        assert said == f"{name} is no setting{meant}"
    assert SECRET not in said


def test_names_of_the_file_are_told_as_the_file_says_them(tmp_path: Path) -> None:
    toml = f'http = 3\nport = "{SECRET}"\n[databse]\nurl = "{SECRET}"\n[redis]\nulr = 1\n'
    said = complaint({}, toml, tmp_path).split("; ")
    told = [one for one in said if "is no setting" in one]
    assert [one.partition(" ")[0] for one in told] == ["http", "port", "databse.url", "redis.ulr"]
    assert "databse.url is no setting (did you mean database.url?)" in told
    assert "redis.ulr is no setting (did you mean redis.url?)" in told
    assert not any(SECRET in one for one in said)


def test_what_is_no_setting_and_yet_meant_is_let_be() -> None:
    kubernetes = {
        "GATEWAY_SERVICE_HOST": "10.0.0.1",
        "GATEWAY_SERVICE_PORT": "8080",
        "GATEWAY_PORT": "tcp://10.0.0.1:8080",
        "GATEWAY_PORT_8080_TCP_ADDR": "10.0.0.1",
        "GATEWAY_HTTP_SERVICE_HOST": "10.0.0.2",
        "GATEWAY_HTTP_SERVICE_PORT_WEB": "80",
        "GATEWAY_HTTP_PORT": "tcp://10.0.0.2:80",
    }
    others = dict.fromkeys((*OTHERS, "GATEWAY_TEST_DATABASE_URL"), "")
    assert load(None, {**kubernetes, **others, "HTTP_PORT": "x"}) == Settings()
    assert "GATEWAY_HTTP_PORT is no setting" in complaint({"GATEWAY_HTTP_PORT": "80"})


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("http.port", "abc", "is 'abc': it must be a whole number, at least 0 and at most 65535"),
        ("http.port", "70000", "is '70000': it must be a whole number, at least 0 and at most 65535"),
        ("http.workers", "0", "is '0': it must be a whole number, at least 1"),
        ("http.access_log", "maybe", "is 'maybe': it must be true or false"),
        ("http.grace_secs", "0", "is '0': it must be a number, above 0"),
        ("http.grace_secs", "inf", "is 'inf': it must be a number, above 0"),
        ("devices.unknown", "allow", "is 'allow': it must be auto or refuse"),
        ("log.level", "loud", "is 'loud': it must be debug or error or info or warning"),
        ("http.port", "9" * 100, "is '" + "9" * 59 + ": it must be a whole number"),
    ],
)
def test_a_wrong_value_is_told_with_what_is_allowed(path: str, value: str, words: str) -> None:
    assert complaint({to_env(path): value}).startswith(f"{path} ({to_env(path)}) {words}")


def test_all_that_is_wrong_is_told_at_once() -> None:
    said = complaint({"GATEWAY_HTTP__PORT": "x", "GATEWAY_LOG__LEVEL": "y", "GATEWAY_LOG_LEVEL": "z"})
    assert [one in said for one in ("http.port", "log.level", "GATEWAY_LOG_LEVEL is no setting")] == [True] * 3


@pytest.mark.parametrize("path", PATHS)
def test_no_complaint_is_in_the_words_of_a_library(path: str, tmp_path: Path) -> None:
    branch, _, leaf = path.partition(".")
    said = complaint({}, f"[{branch}]\n{leaf} = [[]]\n", tmp_path)
    assert said.startswith(f"{path} ({to_env(path)}) is ")
    assert not any(word in said for word in ("Expected", "$.", "`", "object", "array"))


def test_secrets_are_never_told(tmp_path: Path) -> None:
    said = complaint({}, f'[auth]\nadmin_key = ["{SECRET}"]\n[mqtt]\nurl = ["mqtt://u:{SECRET}@h"]\n', tmp_path)
    assert SECRET not in said
    assert "auth.admin_key (GATEWAY_AUTH__ADMIN_KEY) is ***: it must be text" in said


@pytest.mark.parametrize(
    "form",
    [
        "scheme://u:{}@h",
        "scheme://u@x:{}@h",
        "scheme://:{}@h/0",
        "scheme://h/d?user=u&password={}",
        "scheme://h/d?user=u&pass%77ord={}&x=y",
        "host=h password={} user=u",
        "host=h password='{} 1' user=u",
    ],
)
def test_no_setting_shows_a_password_that_stands_in_it(form: str) -> None:
    """Whichever it is: one that is new is masked as well, and none that is text is left out."""
    assert len(TEXTS) >= 18
    for path in TEXTS:
        branch, _, leaf = path.partition(".")
        section = structs.replace(getattr(Settings(), branch), **{leaf: form.format(SECRET)})
        [shown] = [one for one in describe(structs.replace(Settings(), **{branch: section})) if one.path == path]
        assert SECRET not in str(shown.value), path
        assert MASK in str(shown.value), path


def test_complaints_of_others_get_the_names_in_the_environment_as_well() -> None:
    said = with_env("mqtt.url is not a broker's address; see mqtt.url and mqtt.ca_file, not xmqtt.url")
    assert said == (
        "mqtt.url (GATEWAY_MQTT__URL) is not a broker's address; see mqtt.url and mqtt.ca_file (GATEWAY_MQTT__CA_FILE),"
        " not xmqtt.url"
    )
    assert with_env(said) == said


def test_what_is_right_is_read(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('[http]\nport = 1\nworkers = "2"\n[limits]\nburst_secs = 3\n')
    found = load(path, {"GATEWAY_HTTP__PORT": "4", "GATEWAY_HTTP__ACCESS_LOG": "true"})
    assert (found.http.port, found.http.workers, found.http.access_log, found.limits.burst_secs) == (4, 2, True, 3.0)
    assert msgspec.structs.replace(found.http, port=8080, workers=1, access_log=False) == Settings().http
