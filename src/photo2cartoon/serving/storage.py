"""Storage of the model repository: a folder or object storage. In both, a server never sees a partial version."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from photo2cartoon.atomic import atomic_dir, atomic_write
from photo2cartoon.errors import UserError, without_credentials
from photo2cartoon.files import cache_folder, sha256_of
from photo2cartoon.layout import CONFIG, GATE, GENERATOR, RETIRED, VERSION_GRAPH
from photo2cartoon.progress import note
from photo2cartoon.serving.connection import SECURE
from photo2cartoon.serving.stamp import STAMPED
from photo2cartoon.urls import as_user_error, file_system, is_url

CONNECT_SECONDS = 10.0


WAIT_SECONDS = 5.0


class Storage(Protocol):
    """Files of a model repository."""

    def versions(self) -> list[int]:
        """List the generator versions that a server would see, oldest first; it serves the last."""

    def is_initialised(self) -> bool:
        """Return whether the configurations are present, and are this release's."""

    def add(self, name: str, path: Path) -> None:
        """Store a configuration file under its name inside the repository."""

    def config(self, model: str) -> str:
        """Return a model's configuration, Triton's protobuf text."""

    def holds(self, version: int, graph: Path) -> bool:
        """Return whether a version is present with the same bytes as `graph`."""

    def publish(self, version: int, graph: Path) -> None:
        """Store a version, replacing any version of the same number."""

    def retire(self, version: int) -> None:
        """Hide a version from servers, but keep it."""

    def restore(self, version: int) -> None:
        """Bring back a version that was hidden."""

    def withdraw(self, version: int) -> None:
        """Remove a version."""

    def graph(self, version: int) -> Path:
        """Return a version's graph as a local file."""

    def was_promoted(self, version: int) -> bool:
        """Return whether a version is present, or hidden."""

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Keep other processes from promoting to the repository, where the storage has locks; wait for one that does."""

    def for_triton(self) -> str:
        """Return the repository's location as Triton expects it."""


def wait_for_version(storage: Storage) -> None:
    """Return once the repository holds a version to serve.

    Raises:
        UserError: the storage cannot be read.
    """
    if not storage.versions():
        note(f"serve: waits for the first version in {storage}; `p2c promote` puts one there")
        while not storage.versions():
            time.sleep(WAIT_SECONDS)


def storage_at(place: Path | str) -> Storage:
    """Open the repository at a path or URL.

    Raises:
        UserError: a package for that kind of URL is missing.
    """
    return Bucket(str(place)) if is_url(place) else Folder(Path(place))


def must_be_usable(place: str, server: str = "") -> None:
    """Check that a model repository can be listed, and that its server listens if there is a version to serve.

    Args:
        place: the repository; a folder is not looked at.
        server: HOST:PORT of Triton; empty for none.

    Raises:
        UserError: no place is named, the storage does not answer or refuses the keys, or the server does not listen.
    """
    if not place:
        raise UserError("repository: is empty: name Triton's model repository, a folder or an object storage URL")
    if not is_url(place) or not storage_at(place).versions() or not server:
        return
    host, _, port = server.removeprefix(SECURE).rpartition(":")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise UserError(f"Triton at {server}: does not answer ({error})") from None


def _is_current(storage: Storage) -> bool:
    """Return whether the generator's configuration asks for all that this release's versions return."""
    return all(f'"{output}"' in storage.config(GENERATOR) for output in STAMPED)


class Folder:
    """Model repository in a folder, which may be a mounted volume."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def versions(self) -> list[int]:
        found = (path for path in (self.path / GENERATOR).glob("[0-9]*") if path.name.isdigit())
        return sorted(int(path.name) for path in found if (path / VERSION_GRAPH).is_file())

    def is_initialised(self) -> bool:
        return all((self.path / model / CONFIG).is_file() for model in (GENERATOR, GATE)) and _is_current(self)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written: {error.strerror}") from None

    def add(self, name: str, path: Path) -> None:
        with self._writing():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            if path.resolve() != (self.path / name).resolve():
                shutil.copyfile(path, self.path / name)

    def config(self, model: str) -> str:
        try:
            return (self.path / model / CONFIG).read_text()
        except OSError as error:
            raise UserError(f"{self.path / model / CONFIG}: {error.strerror}") from None

    def holds(self, version: int, graph: Path) -> bool:
        there = self.graph(version)
        return there.is_file() and sha256_of(there) == sha256_of(graph)

    def publish(self, version: int, graph: Path) -> None:
        """Write to a temporary folder beside the target, then rename it."""
        with atomic_dir(self.graph(version).parent, VERSION_GRAPH) as partial:
            shutil.copyfile(graph, partial / VERSION_GRAPH)

    def retire(self, version: int) -> None:
        aside, shown = self.path / GENERATOR / RETIRED, self.path / GENERATOR / str(version)
        with self._writing():
            aside.mkdir(exist_ok=True)
            if shown.exists():  # before the hidden copy is removed
                shutil.rmtree(aside / str(version), ignore_errors=True)
            shown.rename(aside / str(version))

    def restore(self, version: int) -> None:
        with self._writing():
            (self.path / GENERATOR / RETIRED / str(version)).rename(self.path / GENERATOR / str(version))

    def withdraw(self, version: int) -> None:
        with self._writing():
            shutil.rmtree(self.path / GENERATOR / str(version))

    def graph(self, version: int) -> Path:
        return self.path / GENERATOR / str(version) / VERSION_GRAPH

    def was_promoted(self, version: int) -> bool:
        return version in self.versions() or (self.path / GENERATOR / RETIRED / str(version) / VERSION_GRAPH).is_file()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        descriptor = os.open(self.path / GENERATOR, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # a volume without locks
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    note(f"promote: waits for another process that promotes to {self}")
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def for_triton(self) -> str:
        return str(self.path.resolve())


class Bucket:
    """Model repository in object storage, accessed through fsspec.

    A version is one object, and an object appears whole or not at all.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        with as_user_error(self.url, "cannot be used"):
            self._system, self._root = file_system(self.url)

    def __str__(self) -> str:
        return without_credentials(self.url)

    def _in(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _object(self, version: int) -> str:
        return self._in(f"{GENERATOR}/{version}/{VERSION_GRAPH}")

    def _names(self, folder: str) -> Iterator[str]:
        """Yield the paths of all objects below a folder, relative to it."""
        self._system.invalidate_cache()
        start = self._in(folder)
        for found in self._system.find(start):
            yield found.split(start, 1)[1].lstrip("/")

    def versions(self) -> list[int]:
        with as_user_error(self.url, "cannot be read"):
            parts = [name.split("/") for name in self._names(GENERATOR)]
        return sorted(
            int(part[0]) for part in parts if len(part) == 2 and part[0].isdigit() and part[1] == VERSION_GRAPH
        )

    def is_initialised(self) -> bool:
        with as_user_error(self.url, "cannot be read"):
            self._system.invalidate_cache()
            there = all(self._system.exists(self._in(f"{model}/{CONFIG}")) for model in (GENERATOR, GATE))
        return there and _is_current(self)

    def add(self, name: str, path: Path) -> None:
        with as_user_error(self.url, "cannot be written"):
            self._system.pipe_file(self._in(name), path.read_bytes())

    def config(self, model: str) -> str:
        with as_user_error(self.url, "cannot be read"):
            return self._system.cat_file(self._in(f"{model}/{CONFIG}")).decode()

    def holds(self, version: int, graph: Path) -> bool:
        if version not in self.versions():
            return False
        with as_user_error(self.url, "cannot be read"):
            there = hashlib.sha256(self._system.cat_file(self._object(version))).hexdigest()
        return there == sha256_of(graph)

    def publish(self, version: int, graph: Path) -> None:
        self.add(f"{GENERATOR}/{version}/{VERSION_GRAPH}", graph)

    def retire(self, version: int) -> None:
        self._move(self._object(version), self._retired(version))

    def restore(self, version: int) -> None:
        self._move(self._retired(version), self._object(version))

    def withdraw(self, version: int) -> None:
        with as_user_error(self.url, "cannot be written"):
            self._system.rm_file(self._object(version))

    def _retired(self, version: int) -> str:
        return self._in(f"{GENERATOR}/{RETIRED}/{version}/{VERSION_GRAPH}")

    def _move(self, source: str, target: str) -> None:
        with as_user_error(self.url, "cannot be written"):
            self._system.pipe_file(target, self._system.cat_file(source))
            self._system.rm_file(source)

    def was_promoted(self, version: int) -> bool:
        with as_user_error(self.url, "cannot be read"):
            return version in self.versions() or self._system.exists(self._retired(version))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        yield  # object storage has no locks

    def graph(self, version: int) -> Path:
        """Download the graph; it is kept in the user's cache under its own hash."""
        with as_user_error(self.url, "cannot be read"):
            content = self._system.cat_file(self._object(version))
        target = cache_folder() / f"promoted-{hashlib.sha256(content).hexdigest()[:16]}.onnx"
        if not target.is_file():
            with atomic_write(target) as partial:
                partial.write_bytes(content)
        return target

    def for_triton(self) -> str:
        """Return the URL for Triton, with any endpoint but Amazon's in it: `s3://http://host:port/bucket/path`."""
        parts = urlsplit(self.url)
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        if parts.scheme not in ("s3", "gs"):
            raise UserError(f"{self.url}: Triton reads models from a folder, s3:// or gs://")
        if parts.scheme == "s3" and endpoint:
            host = urlsplit(endpoint)
            port = host.port or (443 if host.scheme == "https" else 80)
            return f"s3://{host.scheme}://{host.hostname}:{port}/{parts.netloc}{parts.path}"
        return self.url
