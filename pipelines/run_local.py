"""`make pipeline-local`: runs the cluster's pipeline on this machine, each component in its own process or container.

A component that already ran with the same code, parameters and inputs is taken from the cache: after a failed step, the
next run resumes there. As on a cluster, every output passes through object storage (`object_storage.py`).
"""

import argparse
import hashlib
import os
import re
import sys
import tempfile
from pathlib import Path

from kfp import local

from components import IMAGE
from photo2cartoon.errors import UserError, exit_on_user_error
from photo2cartoon.layout import MODEL_REPOSITORY
from photo2cartoon.params import load
from photo2cartoon.params.arguments import to_arguments
from photo2cartoon.serving.repository import init_repository, list_versions
from photo2cartoon.tracking.client import tracking_uri
from photo2cartoon.urls import is_url, place
from pipelines.cluster import Cluster
from pipelines.object_storage import seaweedfs, through_storage
from pipelines.photo2cartoon import build

USER = 1000  # uid of the image's user
PROJECT = Path(__file__).resolve().parents[1]


def run(
    params: Path,
    repository: Path | str,
    profile: str = "",
    revision: str = "",
    root: Path = Path("var/pipeline"),
    image: str | None = None,
) -> list[int]:
    """Run every stage and promote.

    Args:
        params: a params.yaml.
        repository: Triton's model repository, a folder or an object storage URL; an empty one is initialised.
        profile: overrides the file's own profile.
        revision: revision of the DVC repositories that images come from.
        root: folder for artifacts.
        image: run each component in a container of this image instead of a process; needs a Docker engine.

    Returns:
        The versions in the repository, the newest last.

    Raises:
        UserError: the parameters are wrong, or a component failed.
    """
    arguments = to_arguments(load(params, profile or None), revision)
    init_repository(repository, PROJECT / MODEL_REPOSITORY)
    root, repository = root.resolve(), repository if is_url(repository) else Path(repository).resolve()
    uri = tracking_uri()
    runner = _containers(uri, repository, root) if image else _processes()
    cluster = Cluster(image=image or IMAGE)
    # kfp's cache key covers a component's own few lines, not the code that they call.
    cache = root / ".cache" / code_fingerprint()
    local.init(runner, pipeline_root=str(root), enable_caching=True, cache_root=str(cache))
    before = set(root.glob("photo2cartoon-*"))
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            seaweedfs(Path(folder) / "storage") as storage,
            through_storage(storage, root),
        ):
            build(cluster)(mlflow_uri=uri, repository=str(repository), **arguments)
    except RuntimeError as error:  # kfp's only signal that a component failed
        raise UserError(f"{_plain(error)} What it printed above says why; the next run resumes there") from None
    for folder in set(root.glob("photo2cartoon-*")) - before:
        must_be_finished(folder)
    return list_versions(repository)


def must_be_finished(folder: Path) -> None:
    """Check that every component of a run has reported its outputs.

    kfp's container runner counts a container that vanished before it was polled as successful
    (kubeflow/pipelines#13332).

    Raises:
        UserError: a component has not.
    """
    for task in sorted(path for path in folder.iterdir() if path.is_dir()):
        if task.name.startswith(("exit-handler-", "for-loop-", "condition-")):
            must_be_finished(task)
        elif not (task / "executor_output.json").exists():
            raise UserError(f"{task.name} ended without a word of what it wrote: it failed ({task})")


def _plain(error: Exception) -> str:
    """Return the message without the colour codes that kfp writes."""
    return re.sub(r"\x1b\[\d+m", "", str(error))


def code_fingerprint() -> str:
    """Return a sha256 over the project's own code, 16 hex digits of it."""
    digest = hashlib.sha256()
    for folder in ("src", "components", "pipelines"):
        for path in sorted((PROJECT / folder).rglob("*")):
            if path.suffix in (".py", ".yaml", ".safetensors"):
                digest.update(path.relative_to(PROJECT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _processes() -> local.SubprocessRunner:
    # Components run in their own folder with this environment's interpreter.
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return local.SubprocessRunner(use_venv=False)


def _containers(uri: str, repository: Path | str, root: Path) -> local.DockerRunner:
    # kfp mounts the artifact folder in the containers; the database of runs and the model repository are outside it.
    places = [] if is_url(repository) else [Path(repository)]
    if uri.startswith("sqlite:///"):
        places.append(Path(uri.removeprefix("sqlite:///")).parent)
    mounts = [{"Type": "bind", "Source": str(folder), "Target": str(folder), "ReadOnly": False} for folder in places]
    # Run as the current user, who then owns the artifacts; if that is root, run as the image's own user.
    user, group = (os.getuid(), os.getgid()) if os.getuid() else (USER, USER)
    for folder in (root, *places):
        folder.mkdir(parents=True, exist_ok=True)
        if not os.getuid():
            for path in (folder, *folder.rglob("*")):
                os.chown(path, user, group)
    keys = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    environment = {"HOME": "/tmp"} | keys
    return local.DockerRunner(mounts=mounts, network_mode="host", user=f"{user}:{group}", environment=environment)


def main() -> None:
    """Parse the arguments, run the pipeline and print the versions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--profile", default="", help="of the params file")
    parser.add_argument("--revision", default="", help="of the DVC repositories that pictures come from")
    parser.add_argument(
        "--repository", type=place, default=MODEL_REPOSITORY, help="Triton's model repository: a folder, or s3://…"
    )
    parser.add_argument("--root", type=Path, default=Path("var/pipeline"), help="where artifacts go")
    parser.add_argument("--image", help="run each component in a container of this image")
    values = parser.parse_args()
    with exit_on_user_error("pipeline"):
        versions = run(**vars(values))
        print(f"{values.repository}/generator: {', '.join(map(str, versions)) or 'no version yet'}; the last is served")


if __name__ == "__main__":
    main()
