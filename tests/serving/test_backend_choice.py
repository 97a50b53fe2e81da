"""What runs the generator is what measures faster, and draws what onnxruntime draws."""

import json

import numpy as np
import pytest

from photo2cartoon.errors import UserError
from photo2cartoon.layout import GENERATOR
from photo2cartoon.portrait import Photograph
from photo2cartoon.serving import backend_choice
from photo2cartoon.serving.backend_choice import CUDA, ONNXRUNTIME, OPENVINO, TENSORRT, Times, choose_backend, pick
from photo2cartoon.serving.client import Client
from photo2cartoon.serving.control import VARIABLE
from photo2cartoon.serving.openvino_backend import LARGEST, MEAN, TritonPythonModel
from photo2cartoon.serving.plan import LATENCY, configurations
from photo2cartoon.serving.repository import promote
from photo2cartoon.serving.server import Ports, Server
from photo2cartoon.serving.session import draw, open_session
from photo2cartoon.serving.storage import storage_at
from photo2cartoon.tracking import aliases
from tests.serving.conftest import MODEL

pytestmark = pytest.mark.slow

pytest.importorskip("openvino")


def newest(repository):
    models = storage_at(repository)
    return models.graph(models.versions()[-1])


def test_openvino_draws_what_onnxruntime_draws_and_takes_new_versions(
    versions, repository, weights, maker, hopper, tmp_path, monkeypatch
):
    monkeypatch.setenv(VARIABLE, "a-key-for-the-tests")
    portraits = maker.of(Photograph(hopper)).rgba[None]
    with Server(repository, tmp_path / "run", Ports.free(), weights, None, backend=OPENVINO) as server:
        client = Client(server.grpc)
        for number, _ in versions:
            aliases.set_champion(MODEL.model_name, number)
            assert promote(repository, MODEL, server.grpc) == number
            difference = np.abs(
                client.stylize(portraits).astype(int) - draw(open_session(newest(repository)), portraits)
            )
            assert difference.mean() <= MEAN and difference.max() <= LARGEST
            assert client.cartoonize_all([hopper.read_bytes()])[0].version == number
            config = server.connection().get_model_config(GENERATOR, as_json=True)["config"]
            assert config["backend"] == OPENVINO


def test_a_graph_that_openvino_draws_otherwise_is_not_loaded(repository):
    graph = newest(repository)
    config = {
        "input": [{"name": "portrait"}, {"name": "colour"}],
        "output": [{"name": "cartoon"}],
        "parameters": {"intra_op_thread_count": {"string_value": "1"}},
    }
    given = {"model_repository": str(graph.parent.parent), "model_version": graph.parent.name}
    TritonPythonModel().initialize(given | {"model_config": json.dumps(config)})
    config["parameters"]["largest_difference"] = {"string_value": "-1"}
    with pytest.raises(ValueError, match=r"OpenVINO's drawing differs .* p2c serve --backend onnxruntime"):
        TritonPythonModel().initialize(given | {"model_config": json.dumps(config)})


def test_both_are_measured_once(repository, tmp_path, monkeypatch):
    chosen = choose_backend(newest(repository), 1, tmp_path)
    times = Times(*json.loads((tmp_path / "backend.json").read_text())["times"])
    assert min(times) > 0 and max(times) < 60 and chosen == pick(times)
    asked = []
    monkeypatch.setattr(backend_choice, "measure", lambda *given: asked.append(given))
    assert choose_backend(newest(repository), 1, tmp_path) == chosen and not asked
    assert choose_backend(newest(repository), 2, tmp_path) == ONNXRUNTIME and asked, (
        "other threads, and nothing measured"
    )


def test_openvino_has_to_be_worth_it(capsys):
    assert pick(Times(0.1, 0.05)) == OPENVINO
    assert pick(Times(0.1, 0.099)) == pick(Times(0.1, 0.2)) == ONNXRUNTIME
    assert "a portrait takes 100 ms with onnxruntime, 50 ms with openvino" in capsys.readouterr().err


def test_a_graph_that_cannot_be_measured_is_left_to_onnxruntime(tmp_path, capsys):
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    assert choose_backend(tmp_path / "model.onnx", 1, tmp_path) == ONNXRUNTIME
    assert capsys.readouterr().err.startswith("serve: openvino cannot be used: ")


def test_a_gpu_is_configured_as_nvidias_backend_expects(repository, weights, tmp_path):
    """Checked against Triton's definition of a configuration; not run on a GPU."""
    from google.protobuf import json_format
    from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

    for backend, accelerators in ((CUDA, []), (TENSORRT, ["tensorrt"])):
        made = configurations(storage_at(repository), LATENCY, 8, backend, tmp_path / "engines")
        generator, portrait = (json_format.ParseDict(made[model], ModelConfig()) for model in (GENERATOR, "portrait"))
        assert generator.backend == ONNXRUNTIME and generator.HasField("dynamic_batching")
        (group,) = generator.instance_group
        assert (group.kind, group.count) == (ModelInstanceGroup.KIND_GPU, 1)
        listed = generator.optimization.execution_accelerators.gpu_execution_accelerator
        assert [accelerator.name for accelerator in listed] == accelerators
        assert all(accelerator.parameters["precision_mode"] == "FP16" for accelerator in listed)
        assert portrait.instance_group[0].kind == ModelInstanceGroup.KIND_CPU
        with pytest.raises(UserError, match=f"--backend {backend} needs a GPU and NVIDIA's Triton image"):
            Server(repository, tmp_path / "run", Ports.free(), weights, None, backend=backend).start()


def test_an_unknown_backend_is_named(p2c):
    done = p2c("serve", "--backend", "mkl", code=1)
    assert done.stderr == "p2c: serve: --backend 'mkl': expected auto, onnxruntime, openvino, cuda, tensorrt\n"
