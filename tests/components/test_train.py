"""A pod with several GPUs trains with one process per GPU."""

import json
from types import SimpleNamespace

import pytest

from components.train import train
from photo2cartoon.tracking import runs


@pytest.mark.long
def test_one_process_per_gpu(faces, weights, tmp_path):
    """The number of processes equals the number of GPUs assigned to the step; here they run on the CPU."""
    section = {"size": 128, "channels": 4, "steps": 1, "batch": 2, "hourglasses": False, "blocks": 1}
    places = [SimpleNamespace(path=str(path), metadata={}) for path in (faces, weights, tmp_path / "run")]
    train.python_func(json.dumps(section), *places[:2], "", 2, "", places[2])
    run = runs.connect().MlflowClient().get_run(places[2].metadata["mlflow_run"])
    assert run.data.params["train.processes"] == "2"
    assert places[2].metadata["last_checkpoint"] == "step-000001"
