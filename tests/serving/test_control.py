"""Only the holder of the server's key loads and unloads models."""

import pytest

from photo2cartoon.errors import UserError
from photo2cartoon.serving.client import Client
from photo2cartoon.serving.control import VARIABLE, RefusedError, find_key, server_key
from photo2cartoon.serving.repository import promote, rollback
from photo2cartoon.tracking import aliases
from tests.serving.conftest import MODEL


def test_nobody_without_the_key_controls_the_models(server, hopper, tmp_path):
    """Neither protocol unloads, loads, runs code of a stranger, or touches memory, traces and logs."""
    from tritonclient import grpc, http
    from tritonclient.utils import InferenceServerException

    spoilt = '{"backend": "python", "max_batch_size": 0}'
    code = {"file:1/model.py": b"import os; os._exit(1)"}
    clients = grpc.InferenceServerClient(server.grpc), http.InferenceServerClient(f"127.0.0.1:{server.ports.http}")
    for client in clients:
        for forbidden in (
            lambda client: client.unload_model("picture"),
            lambda client: client.load_model("picture"),
            lambda client: client.load_model("stranger", config=spoilt, files=code),
            lambda client: client.get_model_repository_index(),
            lambda client: client.register_system_shared_memory("region", "/p2c", 64),
            lambda client: client.update_trace_settings(settings={"trace_level": ["TENSORS"]}),
            lambda client: client.update_log_settings({"log_verbose_level": 9}),
        ):
            with pytest.raises(InferenceServerException, match=r"This (protocol|API) is restricted"):
                forbidden(client)
    with pytest.raises(
        UserError, match="model control wants the server's key: give it by P2C_TRITON_KEY or --key-file"
    ):
        promote(server.repository, MODEL, server.grpc, key="")
    before = aliases.champion_version("served")
    with pytest.raises(RefusedError):
        rollback(server.repository, MODEL, server.grpc, key="another-key-of-somebody")
    assert aliases.champion_version("served") == before
    (tmp_path / "key").write_text(server.key)
    promote(server.repository, MODEL, server.grpc, key=find_key(tmp_path / "key"))
    assert Client(server.grpc).cartoonize(hopper.read_bytes())


def test_a_key_is_made_once_and_weak_ones_are_refused(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    key = server_key(tmp_path)
    assert len(key) == 32 and server_key(tmp_path) == key and (tmp_path / "control.key").stat().st_mode & 0o77 == 0
    (tmp_path / "binary").write_bytes(b"\xff\xfe\0")
    with pytest.raises(UserError, match="binary: the key cannot be read"):
        find_key(tmp_path / "binary")
    (tmp_path / "lines").write_text("a-key-of\ntwo-lines")
    with pytest.raises(UserError, match="lines: is no key: it has characters that cannot be sent"):
        find_key(tmp_path / "lines")
    for weak in ("", "short", "a key with spaces in it", "k:e=y,that-triton-would-split"):
        monkeypatch.setenv(VARIABLE, weak)
        with pytest.raises(UserError, match="has to be at least 16 letters, digits, - or _"):
            server_key(tmp_path)
