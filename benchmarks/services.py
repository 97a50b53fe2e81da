"""Puts faults between the commands and their services, and writes what a user sees into docs/explanation/reliability.md.

    python -m benchmarks.services --write                    (20 minutes, most of them waiting)

MLflow's server and SeaweedFS (S3) are real; a proxy on loopback in front of them refuses, is silent, answers 500, waits before
each answer, or ends in the middle of one. Weights come from a file server of the same kind. For each the table has the time
until the command ended, its exit code, and the line that it said. `lost` is what was there before and is not there after it, or
a file that is half written.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import http.server
import os
import select
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.page import write_between, write_rows
from benchmarks.watched import p2c
from photo2cartoon.errors import exit_on_user_error
from photo2cartoon.files import folder_hash
from photo2cartoon.ports import free_ports
from photo2cartoon.progress import bar
from photo2cartoon.tracking.client import connect
from pipelines.object_storage import seaweedfs

PAGE = Path("docs/explanation/reliability.md")
RESOLVER = "127.0.0.153"  # of the cases without DNS
LIMIT = 900  # seconds after which a command counts as hanging


_kept: list[socket.socket] = []


HEAD = ("| | fault | command | took | as it should | said | lost |", "|---" * 7 + "|")


class Proxy:
    """TCP proxy on loopback with a fault.

    Args:
        target: port of the service; 0 if nothing is behind it.
        fault: `none`, `silent`, `500`, `slow` or `half`.
        amount: seconds before each answer of `slow`; bytes of an answer that `half` lets through.
    """

    def __init__(self, target: int, fault: str, amount: float = 0.0) -> None:
        self._target, self._fault, self._amount = target, fault, amount
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    proxy._handle(self.request)

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _handle(self, client: socket.socket) -> None:
        if self._fault == "silent":
            time.sleep(LIMIT)
            return
        if self._fault == "500":
            client.recv(1 << 16)
            client.sendall(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\nConnection: close\r\n\r\noops")
            return
        passed, waited = 0.0, False
        with socket.create_connection(("127.0.0.1", self._target)) as service:
            while True:
                ready, _, _ = select.select([client, service], [], [])
                for one in ready:
                    content = one.recv(1 << 16)
                    if not content:
                        return
                    if one is client:
                        service.sendall(content)
                        waited = False
                        continue
                    if self._fault == "slow" and not waited:
                        time.sleep(self._amount)
                        waited = True
                    if self._fault == "half":
                        content = content[: max(0, int(self._amount - passed))]
                        passed += len(content)
                    client.sendall(content)
                    if self._fault == "half" and passed >= self._amount:
                        return

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@dataclass(frozen=True)
class Case:
    """A command with a fault.

    Args:
        service, fault: of the table.
        command: its words.
        environment: added to its environment.
        succeeds: whether it has to end well all the same.
        proxy: ended after it.
    """

    service: str
    fault: str
    command: Sequence[str]
    environment: dict[str, str]
    succeeds: bool = False
    proxy: Proxy | None = None


def main() -> None:
    """Run every case, print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", help="services of the table; with --write the rows of the others stay")
    parser.add_argument("--write", action="store_true", help=f"write the result into {PAGE}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        folder = Path(temporary)
        chosen = [case for case in cases(folder, stack) if not options.only or case.service in options.only]
        rows = [tried(case, folder) for case in bar(chosen, desc="faults", unit="case")]
    print("\n".join([*HEAD, *rows]))
    if options.write and options.only:
        write_rows(PAGE, "benchmarks.services", HEAD, rows, columns=3)
    elif options.write:
        write_between(PAGE, "benchmarks.services", "\n".join([*HEAD, *rows]))


def cases(folder: Path, stack: contextlib.ExitStack) -> Iterator[Case]:
    """Yield the cases; services that they need run until the stack is closed."""
    own = {"MLFLOW_DISABLE_TELEMETRY": "true", "XDG_CACHE_HOME": str(folder / "cache"), "NO_COLOR": "1"}
    (port,) = free_ports(1)
    stack.enter_context(_mlflow(folder, port))
    wrong = {"MLFLOW": f"http://127.0.0.1:{free_ports(1)[0]}"}
    faults = {
        "refuses": None, "is silent": Proxy(0, "silent"), "answers 500": Proxy(0, "500"),
        "takes 30 s for an answer": Proxy(port, "slow", 30.0), "ends in the middle of an answer": Proxy(port, "half", 400),
    }  # fmt: skip
    for name, proxy in faults.items():
        address = f"http://127.0.0.1:{proxy.port}" if proxy else wrong["MLFLOW"]
        slow = name.startswith("takes")
        yield Case("MLflow", name, p2c("versions"), own | {"MLFLOW_TRACKING_URI": address}, slow)
    yield Case("MLflow", "has no such name", p2c("versions"), own | {"MLFLOW_TRACKING_URI": "http://mlflow.invalid"})

    storage = stack.enter_context(seaweedfs(folder / "storage"))
    (folder / "picture.png").write_bytes(os.urandom(300_000))
    storage.upload(folder / "picture.png", "photos/picture.png")
    port = int(storage.endpoint.rsplit(":", 1)[1])
    (folder / "s3.yaml").write_text(
        "ingest: {photos: url, photos_at: 's3://" + storage.bucket + "/photos', sample_cartoons: 2}\n"
    )
    faults = {
        "works": Proxy(port, "none"), "refuses": None, "is silent": Proxy(0, "silent"), "answers 500": Proxy(0, "500"),
        "takes 10 s for an answer": Proxy(port, "slow", 10.0), "returns half a file": Proxy(port, "half", 150_000),
    }  # fmt: skip
    for name, proxy in faults.items():
        address = f"http://127.0.0.1:{proxy.port}" if proxy else f"http://127.0.0.1:{free_ports(1)[0]}"
        fine = name == "works" or name.startswith("takes")
        ingest = p2c("ingest", "--params", "s3.yaml", "--out", "raw")
        yield Case("object storage", name, ingest, own | storage.environment | {"AWS_ENDPOINT_URL": address}, fine)

    content = os.urandom(300_000)
    (folder / "www").mkdir()
    (folder / "www/weights.dat").write_bytes(content)
    (folder / "www/wrong.dat").write_bytes(content[:-1] + b"x")
    port = stack.enter_context(_files(folder / "www"))
    faults = {
        "wrong bytes": (Proxy(port, "none"), "wrong.dat"), "refuses": (None, "weights.dat"),
        "has it not": (Proxy(port, "none"), "no.dat"), "stops in the middle": (Proxy(port, "half", 150_000), "weights.dat"),
        "is silent": (Proxy(0, "silent"), "weights.dat"), "takes 30 s": (Proxy(port, "slow", 30.0), "weights.dat"),
    }  # fmt: skip
    script = (
        "import sys; from pathlib import Path; from photo2cartoon.assets.catalogue import Asset;"
        "from photo2cartoon.assets.collect import collect; from photo2cartoon.errors import exit_on_user_error\n"
        "with exit_on_user_error('p2c'):\n"
        "  collect(Path('got'), assets=[Asset(name='it', file='weights.dat', sha256=sys.argv[1], url=sys.argv[2])])"
    )
    for name, (proxy, file) in faults.items():
        where = f"http://127.0.0.1:{proxy.port if proxy else free_ports(1)[0]}/{file}"
        words = [sys.executable, "-c", script, hashlib.sha256(content).hexdigest(), where]
        yield Case("weights", name, words, own, name == "takes 30 s")
    silent = Proxy(0, "silent")
    quick = {"PIP_DEFAULT_TIMEOUT": "15", "PIP_INDEX_URL": f"http://127.0.0.1:{silent.port}/simple"}
    yield Case("package index", "is silent", p2c("assets", "--out", "got", "--portraits-only"), own | quick)

    photo = folder / "photo.png"
    shutil.copy(_photograph(), photo)
    for name, address in {
        "refuses": f"127.0.0.1:{free_ports(1)[0]}",
        "is silent": f"127.0.0.1:{Proxy(0, 'silent').port}",
    }.items():
        yield Case("Triton", name, p2c("cartoonize", str(photo), "--server", address, "--out", "c.png"), own)
    yield Case(
        "Triton",
        "has no such name",
        p2c("cartoonize", str(photo), "--server", "triton.invalid:8001", "--out", "c.png"),
        own,
    )

    yield from _without_dns(own, storage.environment, photo)


def _without_dns(own: dict[str, str], keys: dict[str, str], photo: Path) -> Iterator[Case]:
    """Yield cases in which names are asked for at a server that never answers; it takes the rights of root to have one."""
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        silent.bind((RESOLVER, 53))
    except OSError:
        return
    _kept.append(silent)
    resolver = f'echo nameserver {RESOLVER} >"$1" && mount --bind "$1" /etc/resolv.conf || exit 99; shift; exec "$@"'
    inside = ["unshare", "-rm", "sh", "-c", resolver, "sh", str(photo.with_name("resolv.conf"))]
    words = inside + p2c("versions")
    yield Case("DNS", "never answers", words, own | {"MLFLOW_TRACKING_URI": "http://mlflow.example.org"})
    words = inside + p2c("ingest", "--params", "s3.yaml", "--out", "raw")
    yield Case("DNS", "never answers", words, own | keys | {"AWS_ENDPOINT_URL": "http://storage.example.org"})
    words = inside + p2c("cartoonize", str(photo), "--server", "triton.example.org:8001", "--out", "c.png")
    yield Case("DNS", "never answers", words, own)


def _photograph() -> Path:
    import skimage

    return Path(skimage.__file__).parent / "data/astronaut.png"


@contextlib.contextmanager
def _files(folder: Path) -> Iterator[int]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    handler.func.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.handle_error = lambda *_: None  # a client that is cut off
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@contextlib.contextmanager
def _mlflow(folder: Path, port: int) -> Iterator[None]:
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    server = subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
        time.sleep(0.1)
    try:
        client = connect().MlflowClient(f"http://127.0.0.1:{port}")
        client.create_registered_model("photo2cartoon")
        run = client.create_run("0").info.run_id
        client.create_model_version("photo2cartoon", f"runs:/{run}/model", run, tags={"note": "x" * 1000})
        yield
    finally:
        os.killpg(server.pid, 15)
        server.wait()


def tried(case: Case, folder: Path) -> str:
    """Run a case and return its row."""
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    for name in ("s3.yaml",):
        if (folder / name).exists():
            shutil.copy(folder / name, work)
    (work / "raw").mkdir()
    (work / "raw/CARD.md").write_text("what was there before")
    before = folder_hash(work / "raw")
    began = time.monotonic()
    try:
        done = subprocess.run(
            case.command, cwd=work, env=os.environ | case.environment, capture_output=True, text=True, timeout=LIMIT
        )
        code, errors = done.returncode, done.stderr
    except subprocess.TimeoutExpired:
        code, errors = None, f"hangs: ended after {LIMIT} s"
    seconds = time.monotonic() - began
    lines = [line for line in errors.splitlines() if line.startswith(("p2c: ", "hangs"))]
    good = (
        code is not None
        and (code == 0) == case.succeeds
        and "Traceback" not in errors
        and (code == 0 or len(lines) == 1)
    )
    if not good:
        print(f"{case.service} {case.fault}: {code} {errors[-1500:]}", file=sys.stderr)
    partial = [path.name for path in work.rglob(".*") if ".partial" in path.name]
    partial += [name for name in ("got/weights.dat", "c.png") if not case.succeeds and (work / name).exists()]
    lost = len(partial) + (not case.succeeds and folder_hash(work / "raw") != before)
    said = (
        lines[-1].replace("|", "\\|").replace(str(folder), "…")[:230] if lines else "(ended well)" if code == 0 else "?"
    )
    words = case.command[case.command.index("photo2cartoon") + 1 :] if "photo2cartoon" in case.command else ["a file"]
    command = words[0]
    return f"| {case.service} | {case.fault} | `{command}` | {seconds:.0f} s | {'yes' if good else 'NO'} | {said} | {lost} |"


if __name__ == "__main__":
    with exit_on_user_error("benchmarks.services"):
        main()
