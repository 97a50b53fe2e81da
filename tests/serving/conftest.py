"""A Triton that serves two exported versions, and what several tests do with it."""

import concurrent.futures
import contextlib
import json
import shutil
import threading
import uuid

import numpy as np
import onnx
import pytest

from photo2cartoon.cartoonize.stylize import by_torch
from photo2cartoon.evaluation.evaluate import evaluate
from photo2cartoon.evaluation.selection import select
from photo2cartoon.export.export import export
from photo2cartoon.params import Evaluate, Export, PortraitParams, Select
from photo2cartoon.pictures import decode_png
from photo2cartoon.portrait import PortraitMaker, decode
from photo2cartoon.serving.client import Client
from photo2cartoon.serving.control import VARIABLE
from photo2cartoon.serving.repository import promote
from photo2cartoon.serving.server import Ports, Server
from photo2cartoon.tracking import aliases, version_files
from tests.conftest import ROOT
from tests.registered import register

MODEL = Select(model_name="served", metric="kernel_face", promote="always")
STORED = Select(model_name="stored")


@pytest.fixture(scope="session")
def versions(trained, faces, weights, traced_once, tmp_path_factory):
    """Two exported versions in the registry with different cartoons; returns versions and checkpoint folders."""
    folder = tmp_path_factory.mktemp("versions")
    result = evaluate(Evaluate(photos="all"), trained, faces, weights, folder / "scores")
    selected = []
    for name in ("step-000002", "step-000004"):
        only = {key: value for key, value in result["scores"].items() if key in ("photographs", name)}
        (folder / "scores/scores.json").write_text(json.dumps(result | {"scores": only}))
        selection = select(MODEL, folder / "scores", trained, folder / name)
        with traced_once():
            export(Export(), folder / name, faces, folder / f"{name}.onnx", weights=weights)
        selected.append((selection.version, folder / name))
    return selected


@pytest.fixture(scope="session")
def repository(versions, tmp_path_factory):
    """Copy of the project's model repository with version 1 promoted."""
    folder = tmp_path_factory.mktemp("triton") / "triton_repo"
    shutil.copytree(ROOT / "triton_repo", folder)
    # A stale version with the same number must not be mistaken for the promoted one.
    (folder / "generator/1").mkdir(exist_ok=True)
    (folder / "generator/1/model.onnx").write_bytes(b"stale")
    aliases.set_champion("served", versions[0][0])
    promote(folder, MODEL)
    return folder


@pytest.fixture(scope="module")
def server(repository, weights, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, "a-key-for-the-tests")
        with Server(repository, tmp_path_factory.mktemp("run"), Ports.free(), weights, None) as running:
            yield running


@pytest.fixture(scope="session")
def maker(weights):
    return PortraitMaker.from_params(weights, PortraitParams())


def in_process(maker, checkpoint, photo):
    """Return torch's cartoon of a photograph, made without a server."""
    return by_torch(checkpoint)(maker(decode(photo)).rgba[None])[0].astype(int)


def levels(png):
    return decode_png(png).astype(int)


@contextlib.contextmanager
def under_load(server, photo, clients=2):
    """Let clients call a server one after another; yield their answers, and raise what one of them met."""
    answers, stop = [], threading.Event()

    def call():
        client = Client(server.grpc)
        while not stop.is_set():
            answers.append(client.cartoonize(photo, timeout=20)[0].cartoon)

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        calls = [pool.submit(call) for _ in range(clients)]
        try:
            yield answers
        finally:
            stop.set()
        for each in calls:
            each.result()


def parent(place):
    """Return the process that started one of /proc: other workers' tests have servers of their own."""
    try:
        return int((place / "stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return None


def words(place):
    try:
        return (place / "cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []


def tiny_graph(folder, version, first=0, earlier=False, size=None):
    """Write the smallest ONNX file that names its version, and return its path.

    With `first=4` it answers with nothing; `earlier` is the interface of an earlier release, without the colours; `size`
    is the only side that it draws, in pixels.
    """
    ends = [
        onnx.numpy_helper.from_array(np.array([end]), name)
        for name, end in (("from", first), ("to", first + 3), ("axis", 3))
    ]
    node = onnx.helper.make_node("Slice", ["portrait", "from", "to", "axis"], ["cartoon"])
    sides = [size or "H", size or "W"]
    shapes = {"portrait": ["N", *sides, 4], "cartoon": ["N", *sides, 3]}
    given, made = (onnx.helper.make_tensor_value_info(k, onnx.TensorProto.UINT8, v) for k, v in shapes.items())
    colour = onnx.helper.make_tensor_value_info("colour", onnx.TensorProto.FLOAT, ["N", 1])
    drawn = onnx.helper.make_graph([node], "colours", [given] if earlier else [given, colour], [made], ends)
    opset = onnx.helper.make_opsetid("", 18)
    model = onnx.helper.make_model(drawn, ir_version=10, opset_imports=[opset])
    onnx.helper.set_model_props(model, {"mlflow_version": str(version)})
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(folder / "generator.onnx"))
    return folder / "generator.onnx"


@pytest.fixture(params=["folder", "bucket"])
def place(request, tmp_path):
    """Empty location; fsspec's `memory://` file system behaves like a bucket, `make compose-test` has a real one."""
    return tmp_path / "models" if request.param == "folder" else f"memory://{uuid.uuid4().hex}/models"


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory):
    folder = tmp_path_factory.mktemp(STORED.model_name)
    versions = []
    for number in (1, 2):
        (folder / str(number)).mkdir()
        (folder / str(number) / "card.txt").write_text(str(number))
        version = register(STORED.model_name, folder / str(number), generator_sha256=str(number))
        version_files.add_files(
            STORED.model_name, version, tiny_graph(folder / str(number) / "graph/data/model", version).parents[2], {}
        )
        versions.append(version)
    return versions
