"""A real MLflow server."""

import contextlib
import os
import subprocess
import sys
import time
import urllib.request

from photo2cartoon.ports import free_ports


@contextlib.contextmanager
def mlflow_server(folder, port=None, store=None, artifacts=None, **environment):
    """Run MLflow's server on loopback; yield its address. The same folder and port again go on where it ended."""
    port = port or free_ports(1)[0]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", store or f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", artifacts or str(folder / "artifacts")]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **environment}
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    log = (folder / "server.log").open("ab")
    process = subprocess.Popen(command, env=kept | quiet, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait(process, f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()
        log.close()


def _wait(process, address):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=2):
            return
        time.sleep(0.2)
    raise TimeoutError(address)
