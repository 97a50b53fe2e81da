"""MLflow is asked before a run starts; a server that is away or refuses the host name is named with the remedy."""

import base64
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler

import pytest

from photo2cartoon.errors import UserError
from photo2cartoon.ports import free_ports
from photo2cartoon.tracking.server import must_answer
from tests.pipelines.servers import JsonAnswers, served


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory):
    """Address of a real MLflow server that answers to one host name."""
    (port,) = free_ports(1)
    store = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--backend-store-uri", store]
    command += ["--workers", "1", "--allowed-hosts", f"127.0.0.1:{port}"]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_TRACKING_URI": ""}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, env=environment, start_new_session=True, **quiet)
    address = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{address}/version").close()
            break
        except OSError:
            time.sleep(0.1)
    yield address
    os.killpg(server.pid, 15)
    server.wait()


def test_a_server_that_answers_is_enough(mlflow, monkeypatch):
    must_answer(mlflow)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{mlflow}/")
    must_answer()
    must_answer("sqlite:////nowhere/mlflow.db")


def test_a_refused_host_name_is_named_with_the_remedy(mlflow):
    name = mlflow.replace("127.0.0.1", "localhost")
    with pytest.raises(
        UserError, match=rf"MLflow at {name}: answered 403 .*; start it with --allowed-hosts localhost:"
    ):
        must_answer(name)


def test_a_server_that_is_away_is_named():
    with pytest.raises(UserError, match=r"MLflow at http://127.0.0.1:9: does not answer \(.*refused"):
        must_answer("http://127.0.0.1:9")
    with pytest.raises(UserError, match="answered 404"):

        class Other(JsonAnswers, BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer({}, 404)

        with served(Other) as server:
            must_answer(server.host)


def test_user_and_password_of_an_address_are_sent_and_never_shown():
    class Guarded(JsonAnswers, BaseHTTPRequestHandler):
        def do_GET(self):
            known = base64.b64encode(b"me:s@cret").decode()
            self.answer({}, 200 if self.headers["Authorization"] == f"Basic {known}" else 500)

    with served(Guarded) as server:
        place = server.host.removeprefix("http://")
        must_answer(f"http://me:s%40cret@{place}")
        with pytest.raises(UserError, match="answered 500") as refused:
            must_answer(f"http://me:wrong@{place}")
        assert "wrong" not in str(refused.value)


def test_a_port_that_speaks_something_else_is_named():
    with socket.create_server(("127.0.0.1", 0)) as other:

        def greet():
            connection, _ = other.accept()
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            connection.close()

        threading.Thread(target=greet, daemon=True).start()
        with pytest.raises(UserError, match=r"does not answer \("):
            must_answer(f"http://127.0.0.1:{other.getsockname()[1]}")
