"""The compiled pipeline is current, has the stages of dvc.yaml, and gives the same scores without a cluster."""

import json
import shutil
import subprocess
import sys

import pytest
import yaml

from photo2cartoon.params import load
from photo2cartoon.params.arguments import SECTIONS, train_of
from pipelines.cluster import Cluster
from pipelines.photo2cartoon import COMPILED, compile_to
from pipelines.run_local import must_be_finished
from tests.conftest import ROOT
from tests.workspace import Workspace


def test_the_committed_yaml_is_not_stale(tmp_path):
    compile_to(tmp_path / "pipeline.yaml")
    assert (tmp_path / "pipeline.yaml").read_text() == COMPILED.read_text(), "run `make pipeline`"


def test_every_stage_of_dvc_is_a_component():
    stages = set(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])
    spec = next(yaml.safe_load_all(COMPILED.read_text()))
    components = {name.removeprefix("exec-") for name in spec["deploymentSpec"]["executors"]}
    # `check` asks the sources, `preprocess` ingests, `promote` selects, reports and exports: a step costs a cluster ten
    # seconds.
    assert (
        stages - {"params", "sources", "ingest", "select", "report", "export"} | {"check", "promote", "finish"}
        <= components
    )


def test_what_asks_the_world_never_comes_from_the_cache():
    spec = next(yaml.safe_load_all(COMPILED.read_text()))
    graphs = [spec["root"]["dag"], *(each["dag"] for each in spec["components"].values() if "dag" in each)]
    tasks = {name: task for graph in graphs for name, task in graph["tasks"].items() if "cachingOptions" in task}
    uncached = {name for name, task in tasks.items() if not task["cachingOptions"].get("enableCache")}
    components = {name for name in tasks if not name.startswith(("for-loop", "condition", "exit-handler"))}
    assert uncached & components == {"check", "promote", "finish"}


def steps(spec):
    """Tasks inside the exit handler, by name."""
    return spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]


def levels(spec):
    """Seconds over ten of a run whose steps all come from the cache, as measured on a cluster (docs/how-to/kubeflow.md).

    The root, the exit handler's graph and each step take one for its driver; a step that is never cached another for
    its pod.
    """
    tasks = steps(spec)

    def cost(name):
        task = tasks[name]
        own = 1 if task["cachingOptions"].get("enableCache") else 2
        return own + max(map(cost, task.get("dependentTasks", [])), default=0)

    return 1 + 1 + max(map(cost, tasks)) + 2


def depth(spec):
    """Number of steps on the longest path, without the exit handler."""
    tasks = {name: task.get("dependentTasks", []) for name, task in steps(spec).items()}

    def below(name):
        return 1 + max(map(below, tasks[name]), default=0)

    return max(map(below, tasks))


def test_the_longest_path_is_short(tmp_path):
    """A level costs a cluster 20 s, 10 s of them even from the cache; a loop or a condition another 10 to 20."""
    (spec, _) = yaml.safe_load_all(COMPILED.read_text())
    assert depth(spec) == 5 and levels(spec) == 11
    assert set(spec["root"]["dag"]["tasks"]) == {"finish", "exit-handler-1"}
    compile_to(tmp_path / "sharded.yaml", Cluster(shards=8))
    (spec, _) = yaml.safe_load_all((tmp_path / "sharded.yaml").read_text())
    assert depth(spec) == 6 and len(steps(spec)) == 14
    assert [name for name, component in spec["components"].items() if "dag" in component] == ["comp-exit-handler-1"]


def test_the_form_shows_typed_parameters_with_the_defaults_of_params_yaml():
    (spec, _) = yaml.safe_load_all(COMPILED.read_text())
    inputs = spec["root"]["inputDefinitions"]["parameters"]
    assert all(each["description"] for each in inputs.values())
    kinds = {name: each["parameterType"] for name, each in inputs.items()}
    assert {name for name, kind in kinds.items() if kind == "STRUCT"} == set(SECTIONS)
    assert (kinds["steps"], kinds["lr"], kinds["photos"]) == ("NUMBER_INTEGER", "NUMBER_DOUBLE", "STRING")
    given = {name: each["defaultValue"] for name, each in inputs.items()}
    assert train_of(given["train"], given["steps"], given["batch"], given["lr"]) == load(ROOT / "params.yaml").train


def test_every_step_fetches_only_what_it_uses():
    (spec, _) = yaml.safe_load_all(COMPILED.read_text())
    tasks = steps(spec)
    fetched = {
        name: {each["taskOutputArtifact"]["outputArtifactKey"] for each in task["inputs"].get("artifacts", {}).values()}
        for name, task in tasks.items()
    }
    assert fetched == {
        "check": set(), "assets": set(), "preprocess": {"portrait"}, "train": {"faces", "training"},
        "evaluate": {"averages", "scored", "scoring"}, "promote": {"scores", "finalists", "examples", "packed"},
    }  # fmt: skip


def test_a_component_that_says_nothing_has_failed(tmp_path):
    (tmp_path / "for-loop-1-iteration-0/preprocess").mkdir(parents=True)
    with pytest.raises(Exception, match="preprocess ended without a word"):
        must_be_finished(tmp_path)
    (tmp_path / "for-loop-1-iteration-0/preprocess/executor_output.json").write_text("{}")
    must_be_finished(tmp_path)


@pytest.fixture
def here(tiny_params, tmp_path):
    """Function that runs the pipeline in local processes with its own params."""
    shutil.copytree(
        ROOT / "triton_repo", tmp_path / "triton_repo", ignore=shutil.ignore_patterns(".retired", "[0-9]*.onnx")
    )
    shutil.rmtree(tmp_path / "triton_repo/generator/1", ignore_errors=True)

    def run(code=0, **changes):
        (tmp_path / "params.yaml").write_text(yaml.safe_dump({**tiny_params, **changes}))
        command = [sys.executable, "-m", "pipelines.run_local", "--params", tmp_path / "params.yaml"]
        command += ["--repository", tmp_path / "triton_repo", "--root", tmp_path / "root"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
        assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    run.folder = tmp_path
    return run


def test_a_wrong_parameter_is_refused_before_anything_runs(here, tiny_params):
    told = here(1, train={**tiny_params["train"], "lr": "much"})
    assert told.startswith("pipeline: ") and "train.lr" in told and not (here.folder / "root").exists()


@pytest.mark.long
def test_it_runs_here_to_the_scores_of_dvc(here, tiny_params, tmp_path):
    # When a step fails in the middle, the run names that step and promotes nothing.
    told = here(1, train={**tiny_params["train"], "device": "cuda"}, select={"model_name": "kubeflow"})
    assert "Traceback" not in told.split("train")[-1] and "Inner task failed: 'train'" in told.splitlines()[-1]
    assert not (tmp_path / "triton_repo/generator/1").exists()
    # The next run resumes after the finished steps.
    told = here(select={"model_name": "kubeflow"})
    assert (tmp_path / "triton_repo/generator/1/model.onnx").exists()
    (first, second) = sorted((tmp_path / "root").glob("photo2cartoon-*"))
    assert (first / "preprocess/faces/pictures.csv").exists() and not (second / "preprocess").exists()

    folder = tmp_path / "dvc"
    folder.mkdir()
    space = Workspace(folder)
    space.params(tiny_params)
    space.repro("evaluate")
    expected = json.loads((folder / "reports/evaluation/scores.json").read_text())
    assert json.loads((second / "evaluate/scores/scores.json").read_text()) == expected

    # A model that is not the champion is not promoted.
    told = here(select={"model_name": "kubeflow", "promote": "ask"}, export={"portraits": 3})
    assert [path.name for path in (tmp_path / "triton_repo/generator").glob("[0-9]*")] == ["1"]
