"""`make image-test`: both images are built, looked at and used, the whole pipeline through containers among it.

Where no Docker engine runs, one is started for the time of the test (Debian's docker.io, as root); where the base images
cannot be pulled, bases are made of Debian's packages (mmdebstrap). Nothing of that is left behind, but for the images.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from photo2cartoon.errors import UserError, in_a_line
from photo2cartoon.serving.repository import furnish
from pipelines.run_local import PROJECT

TRAIN, SERVE = "photo2cartoon:image-test", "photo2cartoon-serve:image-test"
BASE, SERVE_BASE = "python:3.11-slim-bookworm", "nvcr.io/nvidia/tritonserver:25.01-py3"
LOCAL_BASE = "photo2cartoon-base:image-test"
DEBIAN = "ca-certificates,python3,python3-venv,python3-pip,libpython3.11,libgomp1"
LEFT_OVER = ("gcc", "cc", "make", "uv", "/app/.venv/bin/uv", "/tmp/uv")
SMALL = {"train": {"steps": 2, "checkpoint_every": 2, "sample_every": 2}, "ingest": {"sample_cartoons": 12}}
START_SECONDS = 180


def run(*command: str | Path, quiet: bool = False, **options: object) -> str:
    """A command's output.

    Raises:
        UserError: it failed.
    """
    words = [str(word) for word in command]
    if not quiet:
        print("+", " ".join(words), flush=True)
    done = subprocess.run(words, capture_output=True, text=True, **options)
    if done.returncode:
        told = (done.stdout + done.stderr)[-1500:]
        raise UserError(f"{' '.join(words[:4])} … ended with {done.returncode}: {told}")
    return done.stdout.strip()


@contextlib.contextmanager
def engine(folder: Path) -> Iterator[None]:
    """A Docker engine: the one that runs, or one of our own until the end of the block."""
    if shutil.which("docker") is None:
        raise UserError("needs docker (Debian: apt-get install docker.io)")
    if subprocess.run(["docker", "info"], capture_output=True).returncode == 0:
        yield
        return
    if shutil.which("dockerd") is None or os.getuid() != 0:
        raise UserError("no Docker engine answers, and only root can start one (needs dockerd)")
    folder.mkdir(parents=True, exist_ok=True)
    address = f"unix://{folder}/docker.sock"
    # No network of its own: containers use the host's, so nothing of the machine's firewall is touched.
    places = [f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/docker.pid"]
    network = ["--iptables=false", "--bridge=none", "--ip-forward=false", "--ip-masq=false"]
    with (folder / "dockerd.log").open("wb") as log:
        daemon = subprocess.Popen(["dockerd", f"--host={address}", *places, *network], stdout=log, stderr=log)
    os.environ["DOCKER_HOST"] = address
    try:
        deadline = time.monotonic() + 60
        while subprocess.run(["docker", "info"], capture_output=True).returncode:
            if time.monotonic() > deadline or daemon.poll() is not None:
                raise UserError(f"dockerd does not come up: {folder / 'dockerd.log'}")
            time.sleep(0.5)
        yield
    finally:
        daemon.terminate()
        daemon.wait()
        # It leaves its network's name mounted, and a folder with a mount in it cannot be removed.
        subprocess.run(["umount", folder / "exec/netns/default"], capture_output=True)
        del os.environ["DOCKER_HOST"]


def base_image(wanted: str, folder: Path) -> str:
    """The image to build on: the wanted one, or where it cannot be pulled, one of Debian's packages.

    The latter gets what this machine's pip needs to reach its index: settings, certificates, folders of wheels. They are
    in this base alone, never in the project's Dockerfile.
    """
    found = subprocess.run(["docker", "image", "inspect", wanted], capture_output=True).returncode == 0
    if found or subprocess.run(["docker", "pull", "-q", wanted], capture_output=True).returncode == 0:
        return wanted
    if subprocess.run(["docker", "image", "inspect", LOCAL_BASE], capture_output=True).returncode == 0:
        return LOCAL_BASE
    if shutil.which("mmdebstrap") is None:
        raise UserError(f"{wanted} cannot be pulled, and mmdebstrap, which would make another, is not installed")
    print(f"{wanted} cannot be pulled: a base of Debian's packages instead", flush=True)
    context = folder / "base"
    (context / "wheels").mkdir(parents=True)
    suggests = '--aptopt=APT::Install-Recommends "false"'
    run("mmdebstrap", "--variant=minbase", suggests, f"--include={DEBIAN}", "bookworm", context / "root.tar")
    environment = {
        key: value for key, value in os.environ.items() if key.startswith(("PIP_INDEX", "PIP_DEFAULT", "UV_INDEX"))
    }
    lines = ["FROM scratch", "ADD root.tar /"]
    bundle = next((Path(value) for key in ("SSL_CERT_FILE", "PIP_CERT") if (value := os.environ.get(key))), None)
    if bundle and bundle.is_file():
        shutil.copy(bundle, context / "ca.crt")
        lines.append("COPY ca.crt /etc/ssl/certs/ca-certificates.crt")
        names = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")
        environment |= dict.fromkeys(names, "/etc/ssl/certs/ca-certificates.crt")
    if wheels := os.environ.get("PIP_FIND_LINKS"):
        for wheel in Path(wheels).glob("*.whl"):
            shutil.copy(wheel, context / "wheels")
        lines.append("COPY wheels /wheels")
        environment["PIP_FIND_LINKS"] = "/wheels"
    for place, name in (("/etc/pip.conf", "pip.conf"), ("/etc/uv/uv.toml", "uv.toml")):
        if Path(place).is_file():
            shutil.copy(place, context / name)
            lines.append(f"COPY {name} {place}")
    lines += [f"ENV {key}={value}" for key, value in environment.items()]
    (context / "Dockerfile").write_text("\n".join(lines) + "\n")
    run("docker", "build", "-q", "--network", "host", "-t", LOCAL_BASE, context)
    return LOCAL_BASE


def build(folder: Path) -> None:
    """Both images."""
    commit = run("git", "-C", PROJECT, "rev-parse", "HEAD", quiet=True)
    bases = [f"--build-arg=BASE={base_image(BASE, folder)}", f"--build-arg=SERVE_BASE={base_image(SERVE_BASE, folder)}"]
    for target, tag in (("train", TRAIN), ("serve", SERVE)):
        arguments = ["--network", "host", "--target", target, *bases, f"--build-arg=COMMIT={commit}", "-t", tag]
        run("docker", "build", *arguments, PROJECT)


def look_inside() -> None:
    """Nobody special runs it, and no builder, no secret and no project data stayed in it."""
    for tag in (TRAIN, SERVE):
        user = run("docker", "run", "--rm", tag, "id", "-u", quiet=True)
        if user == "0":
            raise UserError(f"{tag}: runs as root")
        for name in LEFT_OVER:
            done = subprocess.run(
                ["docker", "run", "--rm", tag, "sh", "-c", f"command -v {name} || ls -d {name}"], capture_output=True
            )
            if done.returncode == 0:
                raise UserError(f"{tag}: {name} was left inside")
        said = run("docker", "inspect", "-f", "{{json .Config.Env}} {{.Size}}", tag, quiet=True)
        words = ("PASSWORD", "SECRET", "TOKEN", "CREDENTIAL")
        if any(word in said.upper() for word in words):
            raise UserError(f"{tag}: its environment names a secret: {said}")
        print(f"{tag}: user {user}, {int(said.rsplit(' ', 1)[1]) / 1e9:.2f} GB")
    health = run("docker", "inspect", "-f", "{{.Config.Healthcheck}}", SERVE, quiet=True)
    if "8000" not in health:
        raise UserError(f"{SERVE}: has no health check")


def pipeline(folder: Path) -> None:
    """The pipeline in containers, from the sample to a promoted version; and one that has to fail."""
    furnish(folder / "models", PROJECT / "triton_repo")
    params = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    for section, changes in SMALL.items():
        params[section] = params.get(section, {}) | changes
    places = ["--repository", folder / "models", "--root", folder / "root", "--image", TRAIN]
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow/mlflow.db",
        "HOME": str(folder),
        "PYTHONUNBUFFERED": "1",
    }
    (folder / "mlflow").mkdir()
    command = [sys.executable, "-m", "pipelines.run_local", "--params", folder / "params.yaml", *places]
    broken = params | {"train": params["train"] | {"device": "cuda"}}
    for name, values, fails in (("a GPU that is not there", broken, True), ("the sample", params, False)):
        (folder / "params.yaml").write_text(yaml.safe_dump(values))
        print(f"pipeline in containers: {name}", flush=True)
        done = subprocess.run(
            command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        (folder / f"pipeline-{int(fails)}.log").write_text(done.stdout)
        if fails != bool(done.returncode) or (fails and "Inner task failed: 'train'" not in done.stdout):
            raise UserError(f"the pipeline ended with {done.returncode}: {done.stdout[-1500:]}")
    if not (folder / "models/generator/1/model.onnx").is_file():
        raise UserError("the pipeline promoted nothing")


def serve(folder: Path) -> None:
    """The promoted version behind Triton, in its container, healthy, asked for a cartoon."""
    ports = [_free_port() for _ in range(3)]
    options = [f"--{name}-port={port}" for name, port in zip(("grpc", "http", "metrics"), ports, strict=True)]
    command = [
        "python3",
        "-m",
        "photo2cartoon",
        "serve",
        "--repository",
        "/models",
        "--run-folder",
        "/run/p2c",
        *options,
    ]
    name = f"photo2cartoon-image-test-{os.getpid()}"
    run(
        "docker",
        "run",
        "-d",
        "--name",
        name,
        "--network",
        "host",
        "-v",
        f"{folder / 'models'}:/models",
        SERVE,
        *command,
    )
    try:
        photo = next((folder / "root").glob("*/ingest/raw/photos/*"))
        deadline = time.monotonic() + START_SECONDS
        while True:
            arguments = [photo, "--server", f"127.0.0.1:{ports[0]}", "--out", folder / "cartoon.png"]
            done = subprocess.run(
                [sys.executable, "-m", "photo2cartoon", "cartoonize", *arguments], capture_output=True, text=True
            )
            if done.returncode == 0:
                break
            state = run("docker", "inspect", "-f", "{{.State.Status}}", name, quiet=True)
            if time.monotonic() > deadline or state != "running":
                raise UserError(f"{SERVE} {state}: {done.stderr} {run('docker', 'logs', name, quiet=True)[-1500:]}")
            time.sleep(2)
        print(f"served: {(folder / 'cartoon.png').stat().st_size} bytes of {photo.name}")
    finally:
        subprocess.run(["docker", "rm", "-f", name], capture_output=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docker", type=Path, help="where an engine of our own keeps its images, to find them again")
    given = parser.parse_args()
    with in_a_line("image-test"), tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        with engine((given.docker or folder / "docker").resolve()):
            build(folder)
            look_inside()
            pipeline(folder)
            serve(folder)
        print("image-test: passed")


if __name__ == "__main__":
    main()
