"""How a server uses its machine: instances and threads of each model, for few or for many requests at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from photo2cartoon.layout import ENSEMBLE, GENERATOR
from photo2cartoon.serving.storage import Storage

LATENCY, THROUGHPUT = "latency", "throughput"
Profile = Literal["latency", "throughput"]
# In the order of loading.
MODELS = (GENERATOR, "portrait", "picture", "gate", ENSEMBLE)


def usable_cores() -> int:
    """Return how many cores this process may use: of the machine, its CPU affinity and its container's limit."""
    cores = len(os.sched_getaffinity(0))
    for place in (Path("/sys/fs/cgroup/cpu.max"), Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")):
        try:
            quota, period = (place.read_text() + " 100000").split()[:2]
            if quota not in ("max", "-1"):
                cores = min(cores, max(1, round(int(quota) / int(period))))
        except (OSError, ValueError):
            continue
    return cores


def configurations(models: Storage, profile: Profile, cores: int) -> dict[str, dict[str, Any]]:
    """Return the configurations of a repository's models, adapted to the machine, in the order of loading.

    Args:
        models: the repository.
        profile: `latency`: one request gets all cores; `throughput`: as many requests at once as there are cores.
        cores: to use.

    Raises:
        UserError: a configuration cannot be read.
    """
    from google.protobuf import json_format, text_format
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    own = {
        GENERATOR: {"instances": 1 if profile == LATENCY else cores, "threads": cores if profile == LATENCY else 1},
        "portrait": {"instances": max(1, cores // 2) if profile == LATENCY else cores, "threads": 1},
        "picture": {"instances": max(1, cores // 2), "threads": None},
    }
    adapted = {}
    for model in MODELS:
        config = text_format.Parse(models.config(model), ModelConfig())
        if model in own:
            config.instance_group[0].count = own[model]["instances"]
            if own[model]["threads"]:
                key = "intra_op_thread_count" if model == GENERATOR else "threads"
                config.parameters[key].string_value = str(own[model]["threads"])
        if model == GENERATOR:
            # Pictures drawn together take a core as long as one after the other, and keep the first waiting.
            config.ClearField("dynamic_batching")
        adapted[model] = json_format.MessageToDict(config, preserving_proto_field_name=True)
    return adapted
