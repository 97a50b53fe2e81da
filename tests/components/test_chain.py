"""Every component on real data, each artifact through object storage in between; a failed one leaves no output behind."""

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from components.assets import assets
from components.check import check
from components.evaluate import evaluate
from components.preprocess import preprocess
from components.promote import promote
from components.train import train
from components.train_at import train as train_at
from photo2cartoon.evaluation.selection import DECIDED
from photo2cartoon.params import load
from photo2cartoon.params.arguments import to_arguments
from photo2cartoon.serving.stamp import stamp
from photo2cartoon.tracking import aliases, registry
from pipelines.object_storage import round_trip
from tests.registered import register

pytestmark = pytest.mark.slow


class Chain:
    """Runs components one after another, as the pipeline does; `made` has the outputs by name."""

    def __init__(self, folder, storage, arguments):
        self.folder, self.storage, self.arguments, self.made = folder, storage, arguments, {}

    def __getitem__(self, name):
        return self.arguments[name]

    def take(self, *names):
        return {name: self.arguments[name] for name in names}

    def step(self, component, outputs, into="", **given):
        artifacts = {name: SimpleNamespace(path=str(self.folder / into / name), metadata={}) for name in outputs}
        for name in {"parity", "metrics"} & set(artifacts):
            artifacts[name].log_metric = artifacts[name].metadata.__setitem__
        (self.folder / into).mkdir(exist_ok=True)
        result = component.python_func(**given, **artifacts)
        for name in outputs:
            round_trip(self.storage, self.folder / into / name, self.folder)
        self.made |= {into + name: artifact for name, artifact in artifacts.items()}
        return result

    def left(self, into):
        return sorted(path.name for path in (self.folder / into).iterdir())

    def promote(self, into="", **changes):
        given = {"params": self["select"], **self.take("promotion", "export", "portrait")}
        given["weights"] = self.made["packed"]
        given |= {name: self.made[name] for name in ("scores", "finalists", "examples")}
        given |= {"mlflow_uri": "", "repository": str(self.folder / "repository"), "server": "", **changes}
        return self.step(promote, ("graph", "parity", "summary", "report"), into, **given)


@pytest.fixture(scope="module")
def chain(tmp_path_factory, storage, tiny_params, traced_once):
    """All steps, from the sources to a promoted version."""
    folder = tmp_path_factory.mktemp("chain")
    (folder / "params.yaml").write_text(yaml.safe_dump({**tiny_params, "select": {"model_name": "chain"}}))
    chain = Chain(folder, storage, to_arguments(load(folder / "params.yaml")))
    made = chain.made
    sources = chain.take("photos", "cartoons", "revision")
    hyper = chain.take("steps", "batch", "lr")
    places = {"mlflow_uri": "", "repository": str(folder / "repository"), "server": ""}
    sections = ("assets", "ingest", "portrait", "preprocess", "train", "evaluate", "select", "export")
    chain.version = check.python_func(**chain.take(*sections, "score_on", "promotion"), **sources, **hyper, **places)
    chain.step(assets, ("portrait", "training", "scoring", "packed"), params=chain["assets"])
    chain.making = {"params": chain["preprocess"], "portrait": chain["portrait"], "ingest": chain["ingest"], **sources}
    chain.making |= {"weights": made["portrait"], "score_on": chain["score_on"], "data_version": chain.version}
    chain.step(preprocess, ("faces", "scored", "examples", "sources"), **chain.making)
    chain.training = {"params": chain["train"], "faces": made["faces"], "weights": made["training"], **hyper}
    chain.training |= {"gpus": 0, "mlflow_uri": ""}
    chain.step(train, ("averages", "log", "state"), **chain.training)
    chain.scoring = {
        "params": chain["evaluate"],
        "select": chain["select"],
        "score_on": chain["score_on"],
        "mlflow_uri": "",
    }
    chain.scoring |= {"averages": made["averages"], "scored": made["scored"], "weights": made["scoring"]}
    with Reads([Path(made[name].path) for name in ("averages", "scored", "scoring")]) as chain.reads:
        chain.step(evaluate, ("scores", "finalists", "metrics", "drawings"), **chain.scoring)
    with traced_once():
        chain.promote()
    return chain


class Reads:
    """Bytes of the files below folders that a block reads, by the times of their last access."""

    def __init__(self, folders):
        self.files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]

    def __enter__(self):
        for path in self.files:  # an access before the last change is updated even where file systems save writes
            os.utime(path, (1, time.time()))
        return self

    def __exit__(self, *_):
        sizes = {path: path.stat().st_size for path in self.files}
        self.fetched, self.unread = sum(sizes.values()), [path for path in self.files if path.stat().st_atime < 2]
        self.read = self.fetched - sum(sizes[path] for path in self.unread)


def test_it_ends_with_a_version_in_tritons_repository(chain, tmp_path):
    stamp(Path(chain.made["graph"].path), 1, tmp_path / "stamped.onnx")
    served = chain.folder / "repository/generator/1/model.onnx"
    assert served.read_bytes() == (tmp_path / "stamped.onnx").read_bytes()
    assert "champion: version 1 promoted" in Path(chain.made["summary"].path).read_text()
    assert chain.made["faces"].metadata["data_version"] == chain.version
    assert "Where this data comes from" in Path(chain.made["sources"].path).read_text()


def test_evaluate_fetches_what_it_reads(chain):
    if chain.reads.read == 0:
        pytest.skip("this file system keeps no times of access")
    assert chain.reads.fetched <= 1.1 * chain.reads.read, chain.reads.unread


def test_a_second_promotion_takes_the_graph_from_mlflow_and_leaves_aliases_alone(chain, monkeypatch):
    """Every night's run ends in `promote`; it must not undo what a person did since."""
    monkeypatch.setattr("photo2cartoon.export.export.export", None)  # it is not exported again
    before = Path(chain.made["graph"].path).read_bytes()
    worse = registry.read_tags("chain", 1) | {"generator_sha256": "other" * 8, "score": "1e9", DECIDED: "otherwise"}
    register("chain", chain.folder / "finalists", **worse)
    aliases.set_champion("chain", 2)
    assert chain.promote("second") == "version 1 is not the champion and stays out of service"
    assert Path(chain.made["secondgraph"].path).read_bytes() == before
    aliases.set_champion("chain", 1)
    assert chain.promote("third") == "version 1 promoted"
    assert chain.made["thirdparity"].metadata == chain.made["parity"].metadata


def test_a_failed_component_leaves_no_output(chain, traced_once, tmp_path, monkeypatch, capsys):
    """Nothing half-written for Kubeflow to upload, and nothing half promoted."""

    def fails(component, outputs, into, words, **given):
        with pytest.raises(SystemExit):
            chain.step(component, outputs, into, **given)
        assert words in capsys.readouterr().err
        assert chain.left(into) == []

    changed = {"data_version": "photos=other"}
    making = ("faces", "scored", "examples", "sources")
    fails(preprocess, making, "changed", "the pictures changed while they were fetched", **chain.making | changed)
    fails(train, ("averages", "log", "state"), "cuda", "cuda", **chain.training | {"params": {"device": "cuda"}})
    place = {"place": "s3://no-such-bucket/training"}
    given = {**chain.training, **place}
    fails(train_at, ("averages", "log"), "bucket", "s3://no-such-bucket/training", **given)
    few = SimpleNamespace(path=str(tmp_path), metadata={})
    outputs = ("scores", "finalists", "metrics", "drawings")
    fails(evaluate, outputs, "few", "testA", **chain.scoring | {"scored": few})

    strict = {**chain["export"], "max_mean_difference": 0.0}
    with traced_once(), pytest.raises(SystemExit):
        chain.promote("strict", export=strict, repository=str(tmp_path / "repository"))
    assert "torch differ" in capsys.readouterr().err
    assert chain.left("strict") == [] and not (tmp_path / "repository").exists()
    away = "http://127.0.0.1:9"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", away)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with pytest.raises(SystemExit):
        chain.promote("away", repository=str(tmp_path / "repository"))
    assert f"MLflow at {away}" in capsys.readouterr().err
    assert chain.left("away") == [] and not (tmp_path / "repository").exists()
    assert json.loads(Path(chain.made["scores"].path, "scores.json").read_text())  # inputs stay
