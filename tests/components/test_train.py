"""A pod with several GPUs trains with one process per GPU."""

from types import SimpleNamespace

import pytest

from components.train import train
from photo2cartoon.tracking.client import connect


@pytest.mark.long
def test_one_process_per_gpu(faces, weights, tmp_path):
    """The number of processes equals the number of GPUs assigned to the step; here they run on the CPU."""
    section = {"size": 128, "channels": 4, "hourglasses": False, "blocks": 1}
    places = [SimpleNamespace(path=str(path), metadata={}) for path in (faces, weights)]
    averages, log, state = (SimpleNamespace(path=str(tmp_path / name), metadata={}) for name in ("a", "l", "s"))
    train.python_func(section, 1, 2, 1e-4, *places, 2, "", averages, log, state)
    run = connect().MlflowClient().get_run(averages.metadata["mlflow_run"])
    assert run.data.params["train.processes"] == "2"
    assert averages.metadata["last_checkpoint"] == "step-000001"
    drawing = tmp_path / "a/checkpoints/step-000001"
    networks = {"genA2B.average.safetensors", "genB2A.average.safetensors"}
    assert {path.name for path in drawing.iterdir()} == {"checkpoint.json", *networks}
    assert {"run.json", "stats.jsonl", "samples"} == {path.name for path in (tmp_path / "l").iterdir()}
    assert (tmp_path / "s/optimizers.safetensors").exists()
