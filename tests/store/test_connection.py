"""Launchpad files and what is said when the database cannot be reached."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from fireworks import LaunchPad

from hibana.core.errors import HibanaError
from hibana.store.connection import StoreAddress, connect
from hibana.store.launchpad_file import MARK, find_launchpad_file, write_launchpad_file
from hibana.store.server import ServerStatus, down, free_port, up


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch, tmp_path):
    for name in ("HIBANA_LAUNCHPAD", "FW_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("key", ["hostt", "user_name", "passwrd", "mongoclient_kwarg", "database"])
def test_a_misspelt_key_of_a_launchpad_file_is_refused(tmp_path, key):
    path = tmp_path / "my_launchpad.yaml"
    path.write_text(f"host: localhost\nport: 27017\nname: hibana\n{key}: x\n")
    with pytest.raises(HibanaError, match=f"HIB-073.*{key}") as caught:
        StoreAddress.from_launchpad_file(path)
    assert key in ("database", "user_name") or "meant?" in caught.value.what


def test_every_key_that_fireworks_writes_or_wrote_is_taken(tmp_path):
    path = tmp_path / "my_launchpad.yaml"
    known = [*inspect.signature(LaunchPad.__init__).parameters][1:]
    old = ["ssl", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_pem_passphrase", "_fw_name"]
    path.write_text("".join(f"{key}: null\n" for key in (*known, *old)))
    assert StoreAddress.from_launchpad_file(path).name == "fireworks"


def test_order_in_which_the_launchpad_file_is_looked_for(tmp_path, monkeypatch):
    with pytest.raises(HibanaError, match="HIB-072"):
        find_launchpad_file()
    at_home = _write(tmp_path / "home/.fireworks/my_launchpad.yaml", "host: a\n")
    assert find_launchpad_file() == at_home
    here = _write(Path("my_launchpad.yaml"), "host: b\n")
    assert find_launchpad_file() == here
    config = _write(tmp_path / "site/FW_config.yaml", "PRINT_FW_JSON: false\n")
    beside = _write(tmp_path / "site/my_launchpad.yaml", "host: c\n")
    monkeypatch.setenv("FW_CONFIG_FILE", str(config))
    assert find_launchpad_file() == beside
    named = _write(tmp_path / "elsewhere/lp.yaml", "host: d\n")
    _write(config, f"LAUNCHPAD_LOC: {named}\n")
    assert find_launchpad_file() == named
    of_environment = _write(tmp_path / "env.yaml", "host: e\n")
    monkeypatch.setenv("HIBANA_LAUNCHPAD", str(of_environment))
    assert find_launchpad_file() == of_environment
    assert find_launchpad_file(at_home) == at_home


def test_a_named_file_that_is_missing_is_an_error_even_if_others_are_there(tmp_path):
    _write(Path("my_launchpad.yaml"), "host: b\n")
    with pytest.raises(HibanaError, match=r"HIB-072(.|\n)*nowhere\.yaml"):
        find_launchpad_file(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("text", ["[1, 2]", "host: [", "uri_mode: true\nhost: mongodb://x\n", "mongoclient_kwargs: 3\n"])
def test_files_that_cannot_be_used(tmp_path, text):
    with pytest.raises(HibanaError, match="HIB-073"):
        StoreAddress.from_launchpad_file(_write(tmp_path / "lp.yaml", text))


def test_options_pymongo_does_not_know(tmp_path):
    address = StoreAddress(mongoclient_kwargs={"no_such_option": 1, "tlsCAFile": "/no/such/file", "tls": True})
    with pytest.raises(HibanaError, match="HIB-073"):
        address.client()


def test_majority_is_the_default_write_concern_and_the_file_wins():
    assert StoreAddress().client().write_concern.document["w"] == "majority"
    assert StoreAddress(mongoclient_kwargs={"w": 1}).client().write_concern.document["w"] == 1
    uri = StoreAddress(host="mongodb://localhost/?w=2", name="x", uri_mode=True)
    assert uri.client().write_concern.document["w"] == 2


def test_the_password_is_in_no_message():
    address = StoreAddress(host="mongodb://me:secret@db.example/x", name="x", uri_mode=True, password="secret")
    assert "secret" not in address.place
    assert "db.example" in address.place
    assert "password" not in repr(address)


def test_old_tls_keys_are_read(tmp_path):
    text = "host: db\nssl: true\nssl_ca_certs: /ca.pem\n"
    assert StoreAddress.from_launchpad_file(_write(tmp_path / "lp.yaml", text)).mongoclient_kwargs == {
        "tls": True,
        "tlsCAFile": "/ca.pem",
    }


def test_store_down_is_said(tmp_path):
    path = _write(tmp_path / "lp.yaml", f"host: 127.0.0.1\nport: {free_port()}\nname: x\n")
    assert StoreAddress.from_launchpad_file(path).client().options.server_selection_timeout <= 5
    with pytest.raises(HibanaError, match="HIB-070"):
        connect(path)


def test_wrong_password_no_password_and_the_right_one(tmp_path):
    import subprocess

    from pymongo import MongoClient

    from hibana.store.server import find_command

    now = up(tmp_path / "store", free_port())
    MongoClient(now.host, now.port)["fw"].command(
        "createUser", "hana", pwd="right", roles=[{"role": "readWrite", "db": "fw"}], mechanisms=["SCRAM-SHA-256"]
    )
    down(tmp_path / "store")
    port = free_port()
    arguments = ["--host", "127.0.0.1", "--port", str(port), "--storage-path", str(tmp_path / "store/data"), "--standalone"]
    process = subprocess.Popen([find_command(), *arguments, "--auth"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        text = f"host: 127.0.0.1\nport: {port}\nname: fw\nmongoclient_kwargs: {{retryWrites: false}}\n"
        _wait(port)
        with pytest.raises(HibanaError, match="HIB-071") as refused:
            connect(_write(tmp_path / "lp.yaml", text + "username: hana\npassword: wr0ng\n"))
        assert "wr0ng" not in str(refused.value)
        with pytest.raises(HibanaError, match="HIB-071"):
            connect(_write(tmp_path / "lp.yaml", text))
        right = connect(_write(tmp_path / "lp.yaml", text + "username: hana\npassword: right\n"))
        right.ensure_indexes()
        right.database.client.close()
    finally:
        process.terminate()
        process.wait()


def _wait(port: int) -> None:
    from pymongo import MongoClient

    MongoClient("127.0.0.1", port, serverSelectionTimeoutMS=20000).admin.command("ping")


def test_the_written_file_is_read_by_fireworks(server, tmp_path):
    from fireworks import LaunchPad

    path = tmp_path / "my_launchpad.yaml"
    write_launchpad_file(path, server, "plain")
    launchpad = LaunchPad.from_file(str(path))
    assert (launchpad.host, launchpad.port, launchpad.name) == (server.host, server.port, "plain")
    assert launchpad.connection.options.retry_writes is False
    assert launchpad.workflows.count_documents({}) == 0
    launchpad.connection.close()


def test_a_users_own_file_is_not_overwritten(tmp_path):
    now = ServerStatus(tmp_path, running=True, answering=True, port=4711)
    path = _write(tmp_path / "lp.yaml", "host: db.example\nport: 27017\nname: ours\n")
    with pytest.raises(HibanaError, match="HIB-079"):
        write_launchpad_file(path, now)
    assert path.read_text().startswith("host: db.example")
    same = _write(tmp_path / "same.yaml", "# mine\nhost: 127.0.0.1\nport: 4711\nname: hibana\n")
    write_launchpad_file(same, now)
    assert same.read_text().startswith("# mine")
    written = tmp_path / "written.yaml"
    write_launchpad_file(written, now)
    write_launchpad_file(written, ServerStatus(tmp_path, running=True, answering=True, port=4712))
    assert written.read_text().startswith(MARK)
    assert StoreAddress.from_launchpad_file(written).port == 4712


def test_unwritable_place_for_the_file(tmp_path):
    _write(tmp_path / "file", "")
    with pytest.raises(HibanaError, match="HIB-081"):
        write_launchpad_file(tmp_path / "file" / "lp.yaml", ServerStatus(tmp_path, running=True, answering=True, port=1))
