"""How a server uses its machine: instances and threads of each model, for few or for many requests at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from photo2cartoon.layout import ENSEMBLE, GATE, GENERATOR, PICTURE, PORTRAIT
from photo2cartoon.serving.backend_choice import CUDA, ONNXRUNTIME, TENSORRT
from photo2cartoon.serving.storage import Storage

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

LATENCY: Final = "latency"
THROUGHPUT: Final = "throughput"
Profile = Literal["latency", "throughput"]
# In the order of loading.
MODELS = (GENERATOR, PORTRAIT, PICTURE, GATE, ENSEMBLE)


def instance_threads(profile: Profile, cores: int) -> int:
    """Return the threads of an instance of the generator."""
    return cores if profile == LATENCY else 1


def configurations(
    models: Storage, profile: Profile, cores: int, backend: str = ONNXRUNTIME, engines: Path | None = None
) -> dict[str, dict[str, Any]]:
    """Return the configurations of a repository's models, adapted to the machine, in the order of loading.

    Args:
        models: the repository.
        profile: `latency`: one request gets all cores; `throughput`: as many requests at once as there are cores.
        cores: to use.
        backend: what runs the generator: one of `backend_choice.BACKENDS`, other than `auto`.
        engines: folder that keeps TensorRT's compiled engines.

    Raises:
        UserError: a configuration cannot be read.
    """
    from google.protobuf import json_format, text_format
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    own: dict[str, dict[str, int | None]] = {
        GENERATOR: {"instances": 1 if profile == LATENCY else cores, "threads": instance_threads(profile, cores)},
        # One thread: with all cores, the threads of decoder, portrait and generator got in each other's way (0.87 of the plain
        # process with one client instead of 0.92).
        PORTRAIT: {"instances": max(1, cores // 2) if profile == LATENCY else cores, "threads": 1},
        PICTURE: {"instances": max(1, cores // 2), "threads": None},
    }
    adapted = {}
    for model in MODELS:
        config = text_format.Parse(models.config(model), ModelConfig())
        if model in own:
            config.instance_group[0].count = own[model]["instances"]
            if own[model]["threads"]:
                key = "intra_op_thread_count" if model == GENERATOR else "threads"
                config.parameters[key].string_value = str(own[model]["threads"])
        if model == GENERATOR and backend in (CUDA, TENSORRT):
            _use_gpu(config, backend, engines)
        elif model == GENERATOR:
            config.backend = backend
            # Pictures drawn together take a core as long as one after the other, and keep the first waiting.
            config.ClearField("dynamic_batching")
        adapted[model] = json_format.MessageToDict(config, preserving_proto_field_name=True)
    return adapted


def _use_gpu(config: ModelConfig, backend: str, engines: Path | None) -> None:
    """Let NVIDIA's onnxruntime backend draw on the GPU: an instance for each, pictures that wait drawn together.

    TensorRT computes in half precision. It compiles an engine for each size when the model is loaded, which takes minutes
    the first time.
    """
    instances = config.instance_group[0]
    instances.kind, instances.count = type(instances).KIND_GPU, 1
    del config.parameters["intra_op_thread_count"]
    if backend == TENSORRT:
        accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="tensorrt")
        accelerator.parameters["precision_mode"] = "FP16"
        if engines is not None:
            accelerator.parameters["trt_engine_cache_enable"] = "1"
            accelerator.parameters["trt_engine_cache_path"] = str(engines)
