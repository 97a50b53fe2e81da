"""Shared fixtures: real photographs from installed packages, real weights, and a real (tiny) training run."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from filelock import FileLock

from tests.command_server import CommandServer

os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "ORT_DISABLE_TELEMETRY": "1"}
if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores: waiting threads must not keep a core busy.
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
ROOT = Path(__file__).parents[1]


# Each of these takes minutes. `make test` starts them first to keep every worker busy until the end.
LONGEST = (
    "test_pipeline.py",
    "test_cartoon_weights.py",
    "test_stills.py",
    "test_distributed.py",
    "test_preprocess.py",
    "test_pretrained.py",
    "test_server.py",
    "test_postgresql.py",
    "test_export.py",
    "test_under_load.py",
    "test_calls.py",
    "test_dvc_project.py",
    "test_loop.py",
    "test_variants.py",
)


def pytest_configure():
    """Give each worker of pytest-xdist, and what it starts, cores of its own: shared ones cost more than they bring."""
    worker, cores = os.environ.get("PYTEST_XDIST_WORKER", ""), sorted(os.sched_getaffinity(0))
    own = cores[int(worker.removeprefix("gw")) :: int(os.environ["PYTEST_XDIST_WORKER_COUNT"])] if worker else cores
    os.sched_setaffinity(0, own or cores)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: [*LONGEST, item.path.name].index(item.path.name))
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.timeout(3600))


@pytest.fixture(scope="session", autouse=True)
def kept_elsewhere(tmp_path_factory):
    """Keep MLflow's runs and all caches in temporary folders, never in the clone or in the user's home."""
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path_factory.mktemp('tracking')}/mlflow.db"
    os.environ.setdefault("UV_CACHE_DIR", str(Path.home() / ".cache/uv"))  # packages, as `make env` has them
    os.environ["XDG_CACHE_HOME"] = str(shared_folder(tmp_path_factory) / "cache")  # features, promoted graphs
    os.environ["DVC_SITE_CACHE_DIR"] = str(tmp_path_factory.mktemp("dvc"))


def shared_folder(tmp_path_factory) -> Path:
    """The temporary folder of a whole run, which all workers share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def write_graph(tmp_path_factory):
    """`write_onnx`, which takes 15 seconds, but traces each generator once for all tests and workers of a run."""
    from photo2cartoon.export.graph import write_onnx

    traced = shared_folder(tmp_path_factory) / "traced"

    def write(model, path, metadata, opset):
        import onnx

        key = hashlib.sha256(str(opset).encode())
        for name, value in model.state_dict().items():
            key.update(name.encode() + value.numpy().tobytes())
        kept = traced / f"{key.hexdigest()[:16]}.onnx"
        traced.mkdir(exist_ok=True)
        with FileLock(f"{kept}.lock"):
            if not kept.exists():
                write_onnx(model, kept, {}, opset)
        graph = onnx.load(kept)
        onnx.helper.set_model_props(graph, {key: str(value) for key, value in metadata.items()})
        onnx.save(graph, path)

    return write


@pytest.fixture(scope="session")
def traced_once(write_graph):
    """Context in which `export` traces a generator only if no test has; it compares the graph with torch as always."""

    @contextlib.contextmanager
    def patched():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("photo2cartoon.export.export.write_onnx", write_graph)
            yield

    return patched


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """The verified weights folder, of all workers."""
    from photo2cartoon.assets.collect import collect

    out = shared_folder(tmp_path_factory) / "weights"
    with FileLock(f"{out}.lock"):
        collect(out, ROOT / "weights" if (ROOT / "weights").is_dir() else None)
    return out


@pytest.fixture(scope="session")
def astronaut() -> Path:
    """Eileen Collins, NASA, 512x512 PNG."""
    import skimage

    return Path(skimage.__file__).parent / "data" / "astronaut.png"


@pytest.fixture(scope="session")
def hopper() -> Path:
    """Grace Hopper, US Navy, 512x600 JPEG."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"


@pytest.fixture(scope="session")
def group(tmp_path_factory, astronaut, hopper) -> Path:
    """Three people, 1400x600 PNG: Hopper on the left, Collins smaller in the middle, Hopper mirrored and smallest."""
    canvas = np.full((600, 1400, 3), 120, np.uint8)
    left, middle = (cv2.imread(str(path)) for path in (hopper, astronaut))
    for picture, x, scale in ((left, 0, 1.0), (middle, 530, 1.0), (left[:, ::-1], 1060, 0.4)):
        part = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        canvas[: part.shape[0], x : x + part.shape[1]] = part
    path = tmp_path_factory.mktemp("group") / "group.png"
    cv2.imwrite(str(path), canvas)
    return path


@pytest.fixture(scope="session")
def raw(tmp_path_factory, astronaut, hopper) -> Path:
    """Raw pictures: two people, three pictures each, and eight cartoon heads."""
    from photo2cartoon.dataset.sample import draw_head

    folder = tmp_path_factory.mktemp("raw")
    (folder / "photos").mkdir()
    (folder / "cartoons").mkdir()
    for person, path in (("collins", astronaut), ("hopper", hopper)):
        picture = cv2.imread(str(path))
        for name, angle in (("straight", 0), ("left", 12), ("right", -9)):
            height, width = picture.shape[:2]
            matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1)
            turned = cv2.warpAffine(picture, matrix, (width, height), borderValue=(90, 90, 90))
            cv2.imwrite(str(folder / "photos" / f"{person}--{name}.png"), turned)
    for number in range(8):
        cv2.imwrite(
            str(folder / "cartoons" / f"head-{number}.png"), cv2.cvtColor(draw_head(number), cv2.COLOR_RGBA2BGRA)
        )
    return folder


@pytest.fixture
def dvc_repository(raw, tmp_path) -> Path:
    """Git repository with the photographs tracked by DVC, tagged v1."""
    repository = tmp_path / "data"
    shutil.copytree(raw / "photos", repository / "photos")
    git_and_dvc(repository, ["git", "init", "-q"], ["dvc", "init", "-q"], ["dvc", "add", "-q", "photos"])
    git_and_dvc(repository, ["git", "add", "-A"], ["git", "commit", "-qm", "data"], ["git", "tag", "v1"])
    return repository


def git_and_dvc(repository: Path, *commands: list[str]) -> None:
    """Run git and dvc commands in a repository, with its parent folder as HOME."""
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    programs = {"git": ["git", *who], "dvc": [sys.executable, "-m", "dvc"]}
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "HOME": str(repository.parent)}
    for program, *arguments in commands:
        subprocess.run([*programs[program], *arguments], cwd=repository, env=environment, check=True)


@pytest.fixture(scope="session")
def faces(tmp_path_factory, raw, weights) -> Path:
    """Dataset that `preprocess` makes from the raw pictures."""
    from photo2cartoon.dataset.preprocess import preprocess
    from photo2cartoon.params import PortraitParams, Preprocess

    out = tmp_path_factory.mktemp("data") / "faces"
    preprocess(raw / "photos", raw / "cartoons", weights, out, PortraitParams(), Preprocess(test_share=0.4))
    return out


@pytest.fixture(scope="session")
def drawn_faces(tmp_path_factory, faces, raw, weights) -> Path:
    """Dataset in which some photographs have drawings: their own portraits, posterised."""
    from photo2cartoon.dataset.preprocess import preprocess
    from photo2cartoon.params import PortraitParams, Preprocess

    folder = tmp_path_factory.mktemp("paired")
    for name in ("photos", "drawings"):
        (folder / name).mkdir()
    for path in sorted((raw / "photos").glob("collins*")):
        shutil.copy(path, folder / "photos")  # without drawings
    for path in sorted(faces.glob("*A/hopper*.png")):
        portrait = cv2.imread(str(path))
        cv2.imwrite(str(folder / "photos" / path.name), portrait)
        cv2.imwrite(str(folder / "drawings" / path.with_suffix(".webp").name), portrait // 64 * 85)
    held_out = folder / "held-out.txt"
    held_out.write_text("# one of each\nhopper--left\ncollins--left\nhead-3\n")
    params = Preprocess(test_list=str(held_out))
    preprocess(
        folder / "photos", raw / "cartoons", weights, folder / "faces", PortraitParams(), params, folder / "drawings"
    )
    return folder / "faces"


@pytest.fixture(scope="session")
def tiny():
    """`train` section of the smallest run that is still a real training run."""
    from photo2cartoon.params import Train

    # Without hourglasses an ONNX graph is exported in a quarter of the time; test_pretrained exports one with them.
    return Train(
        size=128, channels=4, hourglasses=False, blocks=2, steps=4, lr=1e-3, ema_halflife=2.0, checkpoint_every=2,
        sample_every=2, log_every=1,
    )  # fmt: skip


@pytest.fixture(scope="session")
def trained(tmp_path_factory, faces, weights, tiny) -> Path:
    """Output folder of the `train` stage: four steps, two checkpoints."""
    from photo2cartoon.training.loop import train

    out = tmp_path_factory.mktemp("models") / "train"
    train(tiny, faces, weights, out)
    return out


@pytest.fixture(scope="session")
def tiny_params(raw, weights) -> dict:
    """A params.yaml, as a mapping, with which every stage runs in seconds."""
    train = {"size": 128, "channels": 4, "hourglasses": False, "blocks": 1, "steps": 2, "checkpoint_every": 1}
    train |= {"sample_every": 2, "log_every": 1}
    return {
        "assets": {"folder": str(weights)},
        "ingest": {"photos": "folder", "photos_at": str(raw / "photos"), "sample_cartoons": 6},
        "train": train,
        "evaluate": {"photos": "all"},
    }


@pytest.fixture
def checkpoint(trained) -> Path:
    """Last checkpoint of the `trained` run."""
    return trained / "checkpoints" / "step-000004"


@pytest.fixture(scope="session")
def storage(tmp_path_factory):
    """S3 client of a SeaweedFS on loopback, which fsspec's and AWS' clients find by their environment variables."""
    from pipelines.object_storage import seaweedfs

    with seaweedfs(tmp_path_factory.mktemp("storage")) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(scope="session")
def command_server(tmp_path_factory):
    """The process in which `p2c` starts fast."""
    stores = [f"mlflow.store.{kind}.sqlalchemy_store" for kind in ("tracking", "model_registry")]
    server = CommandServer(["torch", "onnx", "cv2", "mlflow", *stores], tmp_path_factory.mktemp("printed"))
    yield server
    server.close()


@pytest.fixture
def p2c(command_server, tmp_path):
    """Function that runs the command line as a user does and returns the finished process."""

    def run(*arguments: object, cwd: Path = tmp_path, code: int | None = 0, **environment: str):
        done = command_server.run("-m", "photo2cartoon", *arguments, cwd=cwd, environment=os.environ | environment)
        assert "Traceback" not in done.stderr, done.stderr
        if code is not None:
            assert done.returncode == code, done.stderr + done.stdout
        return done

    return run


def needs(weights: Path, *names: str) -> None:
    """Skip a test if `weights` lacks its assets: no registry has them, they come from the folder in P2C_WEIGHTS."""
    from photo2cartoon.assets.catalogue import asset_path, read_catalogue

    for name in names:
        if not asset_path(name, weights).exists():
            pytest.skip(f"no {read_catalogue()[name].file}: P2C_WEIGHTS names no folder with it")


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """Reproducible uint8 noise."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
