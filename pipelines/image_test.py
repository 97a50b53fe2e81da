"""`make image-test`: builds both images, inspects them and uses them, including the whole pipeline in containers.

If no Docker engine runs, one is started for the duration of the test (Debian's docker.io, as root); if the base images
cannot be pulled, bases are made of Debian's packages (mmdebstrap). Only the images are left behind.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from photo2cartoon.demo import photograph
from photo2cartoon.errors import UserError, exit_on_user_error
from photo2cartoon.layout import CONTROL_KEY, LOCAL
from photo2cartoon.ports import free_ports
from pipelines.containers import build, engine, run
from pipelines.run_local import PROJECT

TRAIN, SERVE = "photo2cartoon:image-test", "photo2cartoon-serve:image-test"
LEFT_OVER = ("gcc", "cc", "make", "uv", "/app/.venv/bin/uv", "/tmp/uv")
SMALL = {"train": {"steps": 2, "checkpoint_every": 2, "sample_every": 2}, "ingest": {"sample_cartoons": 12}}
START_SECONDS = 180

SECRET = ("PASSWORD", "SECRET", "TOKEN", "CREDENTIAL")  # in names of variables


def look_inside() -> None:
    """Check that the images do not run as root, contain no build tools and no secrets, and check server health."""
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
        if any(word in said.upper() for word in SECRET):
            raise UserError(f"{tag}: its environment names a secret: {said}")
        _no_secret_in_history(tag)
        print(f"{tag}: user {user}, {int(said.rsplit(' ', 1)[1]) / 1e9:.2f} GB")
    run("docker", "run", "--rm", TRAIN, "dvc", "repro", "params")  # there is no git in the image
    health = run("docker", "inspect", "-f", "{{.Config.Healthcheck}}", SERVE, quiet=True)
    if "ready" not in health:
        raise UserError(f"{SERVE}: has no health check")


def _no_secret_in_history(tag: str) -> None:
    """Check that no step of the build names a secret or an address with a password, and that no file with keys came along."""
    history = run("docker", "history", "--no-trunc", "--format", "{{.CreatedBy}}", tag, quiet=True)
    found = [word for word in SECRET if f"{word}=" in history.upper()] + re.findall(r"://[^/\s:@]+:[^/\s@]+@", history)
    if found:
        raise UserError(f"{tag}: docker history shows {found[0]}")
    names = " -o ".join(f"-name '{name}'" for name in (".env", ".netrc", ".git", CONTROL_KEY, ".npmrc", "id_*"))
    search = f"find /app /home /root -not -path '*/site-packages/*' \\( {names} \\) 2>/dev/null || true"
    if files := run("docker", "run", "--rm", tag, "sh", "-c", search, quiet=True):
        raise UserError(f"{tag}: contains {files.splitlines()[0]}")


def pipeline(folder: Path) -> None:
    """Run the pipeline in containers from the sample to a promoted version, after a run that has to fail."""
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
        if fails != bool(done.returncode) or (fails and "Inner task failed: 'train'" not in done.stdout):
            log = PROJECT / LOCAL / "image-test.log"
            log.parent.mkdir(exist_ok=True)
            log.write_text(done.stdout)
            raise UserError(f"the pipeline ended with {done.returncode}; all that it printed is in {log}")
    if not (folder / "models/generator/1/model.onnx").is_file():
        raise UserError("the pipeline promoted nothing")


def serve(folder: Path) -> None:
    """Serve the promoted version with Triton in its container and request a cartoon."""
    ports = free_ports(3)
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
        photo = photograph()
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


def main() -> None:
    """Build the images and run every test."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docker", type=Path, help="where an engine of our own keeps its images, to find them again")
    given = parser.parse_args()
    with exit_on_user_error("image-test"), tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        with engine((given.docker or folder / "docker").resolve()):
            build(folder, (("train", TRAIN), ("serve", SERVE)))
            look_inside()
            pipeline(folder)
            serve(folder)
        print("image-test: passed")


if __name__ == "__main__":
    main()
