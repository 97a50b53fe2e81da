"""Docker for the image tests: starts an engine where none runs, builds base images where none can be pulled."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from photo2cartoon.errors import UserError
from pipelines.run_local import PROJECT

BASE, SERVE_BASE = "python:3.11-slim-bookworm", "nvcr.io/nvidia/tritonserver:26.07-py3"
LOCAL_BASE = "photo2cartoon-base:image-test"
DEBIAN = "ca-certificates,python3,python3-venv,python3-pip,libpython3.11,libgomp1"


def run(*command: str | Path, quiet: bool = False, **options: object) -> str:
    """Run a command and return its output.

    Raises:
        UserError: the command failed.
    """
    words = [str(word) for word in command]
    if not quiet:
        print("+", " ".join(words), flush=True)
    done = subprocess.run(words, capture_output=True, text=True, **options)
    if done.returncode:
        output = (done.stdout + done.stderr)[-1500:]
        raise UserError(f"{' '.join(words[:4])} … ended with {done.returncode}: {output}")
    return done.stdout.strip()


@contextlib.contextmanager
def engine(folder: Path) -> Iterator[None]:
    """Provide a Docker engine: the running one, or a temporary one until the end of the block."""
    if shutil.which("docker") is None:
        raise UserError("needs docker (Debian: apt-get install docker.io)")
    if subprocess.run(["docker", "info"], capture_output=True).returncode == 0:
        yield
        return
    if shutil.which("dockerd") is None or os.getuid() != 0:
        raise UserError("no Docker engine answers, and only root can start one (needs dockerd)")
    folder.mkdir(parents=True, exist_ok=True)
    address = f"unix://{folder}/docker.sock"
    # Use no network of its own: containers use the host's, so the machine's firewall stays untouched.
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
        # dockerd leaves its network namespace mounted, and a folder with a mount in it cannot be removed.
        subprocess.run(["umount", folder / "exec/netns/default"], capture_output=True)
        del os.environ["DOCKER_HOST"]


def found_or_pulled(image: str) -> bool:
    """Return whether the engine has an image or can pull it."""
    commands = (["docker", "image", "inspect", image], ["docker", "pull", "-q", image])
    return any(subprocess.run(command, capture_output=True).returncode == 0 for command in commands)


def base_image(wanted: str, folder: Path) -> str:
    """Return the image to build on: the wanted one, or one made of Debian's packages if that cannot be pulled.

    The latter gets what this machine's pip needs to reach its index: settings, certificates, folders of wheels. They
    stay in this base image and never get into the project's Dockerfile.
    """
    if found_or_pulled(wanted):
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


def build(folder: Path, tags: Sequence[tuple[str, str]]) -> None:
    """Build targets of the Dockerfile, each with its tag."""
    commit = run("git", "-c", f"safe.directory={PROJECT}", "-C", PROJECT, "rev-parse", "HEAD", quiet=True)
    bases = [f"--build-arg=BASE={base_image(BASE, folder)}", f"--build-arg=SERVE_BASE={base_image(SERVE_BASE, folder)}"]
    for target, tag in tags:
        arguments = ["--network", "host", "--target", target, *bases, f"--build-arg=COMMIT={commit}", "-t", tag]
        run("docker", "build", *arguments, PROJECT)
