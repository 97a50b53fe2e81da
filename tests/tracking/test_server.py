"""MLflow is asked before a run starts; a server that is away or refuses the host name is named with the remedy."""

import os
import subprocess
import sys
import time
import urllib.request

import pytest

from photo2cartoon.errors import UserError
from photo2cartoon.ports import free_ports
from photo2cartoon.tracking.server import must_answer


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
        from http.server import BaseHTTPRequestHandler

        from tests.pipelines.servers import JsonAnswers, served

        class Other(JsonAnswers, BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer({}, 404)

        with served(Other) as server:
            must_answer(server.host)
