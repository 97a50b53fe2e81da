"""`dvc repro` runs every stage once, then only asks the sources, then only what a change or a loss affects; and a version
of data and model is a commit, as everywhere in DVC."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml
from mlflow import MlflowClient

from photo2cartoon.files import folder_hash
from tests.conftest import ROOT
from tests.test_house import LEAVES, MODULES, reached, room_of
from tests.workspace import ASKED, SECRET, Workspace, outputs

STAGES = ["params", "assets", "sources", "ingest", "preprocess", "train", "evaluate", "select", "report", "export"]


# The modules that each stage runs; `sources` runs every time. What they import through assets, portrait or tracking
# arrives as another stage's output, or changes none; the parameters in the leaves are dependencies of their own.
RUNS = {
    "assets": (("assets.collect", "importing.segmenters"), ("portrait", "pretrained")),
    "ingest": (("dataset.ingest",), ("assets", "portrait")),
    "preprocess": (("dataset.preprocess",), ("assets",)),
    # A metric, if `train.score` names one, decides which checkpoints are kept, not what they are.
    "train": (("training.auto_resume",), ("assets", "portrait", "pretrained", "scoring")),
    "evaluate": (("evaluation.evaluate",), ("assets", "portrait", "pretrained")),
    "select": (("evaluation.selection",), ("pretrained",)),
    "report": (("evaluation.report",), ("assets", "portrait", "pretrained")),
    "export": (("export.export",), ("assets", "portrait", "pretrained")),
}
# Read by these modules, or run by them as a program.
DATA = {
    "src/photo2cartoon/assets/catalogue.yaml", "src/photo2cartoon/dataset/sample.yaml", "src/photo2cartoon/pretrained/full",
    "src/photo2cartoon/pretrained/slim", "src/photo2cartoon/importing/frozen_graph.py",
}  # fmt: skip


@pytest.mark.parametrize("stage", RUNS)
def test_a_stage_depends_on_the_modules_that_it_runs_and_on_no_others(stage):
    entries, elsewhere = RUNS[stage]
    modules = {name for name in reached([f"photo2cartoon.{name}" for name in entries]) if name in MODULES}
    expected = {
        MODULES[name].relative_to(ROOT).as_posix()
        for name in modules
        if room_of(name) not in (*LEAVES, "tracking", *elsewhere) and MODULES[name].name != "__init__.py"
    }
    deps = set(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][stage]["deps"])
    assert {dep for dep in deps if dep.startswith("src/")} - DATA == expected


PHOTOS = "data/photos"


@pytest.mark.slow
def test_no_secret_is_written_anywhere(workspace):
    """Neither into a log, nor into an artifact, a tag or MLflow's database; every stage had them in its environment."""
    files = [path for path in workspace.folder.rglob("*") if path.is_file() and "src" not in path.parts]
    assert any(path.name == "mlflow.db" for path in files) and any(path.name == "run.json" for path in files)
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    assert SECRET not in workspace.first[2]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, tiny_params, raw):
    """A workspace whose photographs are its own, added to DVC, after its first run."""
    folder = tmp_path_factory.mktemp("pipeline") / "project"
    folder.mkdir()
    space = Workspace(folder)
    shutil.copytree(raw / "photos", folder / PHOTOS)
    space.dvc("add", PHOTOS)
    space.values = {**tiny_params, "ingest": {**tiny_params["ingest"], "photos_at": PHOTOS}}
    space.params(space.values)
    space.dvc("remote", "add", "-d", "team", str(folder.parent / "remote"))
    space.git("add", "-A")
    space.git("commit", "-qm", "photographs")
    space.first = space.repro()
    return space


@pytest.mark.slow
def test_the_first_run_runs_every_stage_and_leaves_a_lock_to_commit(workspace):
    ran, _, printed = workspace.first
    assert ran == STAGES
    for paths in outputs(workspace).values():
        assert all((workspace.folder / path).exists() for path in paths)
    assert "git add dvc.lock" in printed
    assert workspace.git("status", "--short") == "?? dvc.lock\n"


@pytest.mark.slow
def test_the_second_run_only_asks_the_sources_and_says_how_to_commit(workspace):
    done = workspace.p2c("repro")
    assert [line for line in done.stdout.splitlines() if line.startswith("Running")] == ["Running stage 'sources':"]
    assert done.stdout.endswith('Commit this version: git add dvc.lock params.yaml && git commit -m "…"\n')
    workspace.commit("v1")
    assert "Commit" not in workspace.p2c("repro").stdout and workspace.git("status", "--short") == ""


@pytest.mark.slow
def test_lost_outputs_come_back_from_the_cache(workspace):
    paths = [workspace.folder / path for paths in outputs(workspace).values() for path in paths]
    for path in paths:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    ran, restored, _ = workspace.repro()
    # Stages that look at another stage's fresh output are restored; these are the ones that run in a second.
    assert set(ran) <= {"params", *ASKED} and set(ran) | set(restored) == set(STAGES)
    assert all(path.exists() for path in paths)
    assert workspace.repro()[:2] == (ASKED, [])


@pytest.mark.slow
def test_a_lost_output_touches_no_other(workspace):
    shutil.rmtree(workspace.folder / "models/train")
    times = {path: path.stat().st_mtime_ns for path in workspace.folder.glob("models/*")}
    ran, restored, _ = workspace.repro()
    assert (ran, restored) == (ASKED, ["train"])
    assert {path: path.stat().st_mtime_ns for path in times} == times


@pytest.mark.slow
def test_selecting_again_makes_no_new_version_and_so_nothing_follows(workspace):
    selection = workspace.folder / "models/selected/selection.json"
    before = selection.read_text()
    assert workspace.repro("--force", "--single-item", "select")[0] == ["select"]
    assert selection.read_text() == before
    assert workspace.repro()[:2] == (ASKED, [])


@pytest.mark.slow
def test_code_that_a_stage_does_not_run_leaves_it_alone(workspace):
    """Another promotion rule rescores nothing, another plan or another metric retrains nothing."""
    code = workspace.folder / "src/photo2cartoon"
    for names, stages in (
        (("serving/repository.py", "training/plan.py", "evaluation/measure.py"), set()),
        (("scoring/metrics.py",), {"evaluate", "select", "report"}),
        (("evaluation/selection.py",), {"select"}),
        (("checkpoint.py",), {"train", "evaluate", "select", "export"}),
    ):
        before = {name: (code / name).read_text() for name in names}
        for name, text in before.items():
            (code / name).write_text(text + "\n# changed\n")
        assert workspace.changed() == stages
        for name, text in before.items():
            (code / name).write_text(text)


@pytest.mark.slow
def test_wrong_params_stop_it_before_any_work(workspace):
    shutil.rmtree(workspace.folder / "data/faces")  # there would be work to do
    workspace.params({**workspace.values, "train": {**workspace.values["train"], "lerning_rate": 1, "lr": "much"}})
    ran, restored, told = workspace.repro(code=255)
    assert (ran, restored) == (["params"], [])
    assert "train.lerning_rate" in told and "train.lr" in told
    assert not (workspace.folder / "data/faces").exists()
    workspace.params(workspace.values)
    workspace.repro()


@pytest.mark.slow
def test_a_parameter_that_a_stage_does_not_read_does_not_rerun_it(workspace):
    """Losses of the recipe that is not used, another profile that changes nothing here."""
    train = {**workspace.values["train"], "paired": {"l1": 9.0}}
    workspace.params({**workspace.values, "train": train, "profile": "same", "profiles": {"same": {"evaluate": {}}}})
    assert workspace.repro()[:2] == (["params", *ASKED], [])
    workspace.params(workspace.values)
    workspace.repro()


@pytest.mark.slow
def test_an_edited_list_of_held_out_pictures_is_a_change(workspace):
    """The parameter is the list's name, which stays the same."""
    listed, held_out = workspace.folder / "held-out.txt", workspace.folder / "data/faces/testA"
    names = sorted(path.stem for path in (workspace.folder / "data/faces").glob("t*A/*.png"))
    workspace.params({**workspace.values, "preprocess": {"test_list": listed.name}})
    for name in names[:2]:
        listed.write_text(f"{name}\n")
        assert workspace.repro("preprocess")[0][-1] == "preprocess"
        assert [path.stem for path in held_out.iterdir()] == [name]
    assert workspace.repro("preprocess")[0] == ASKED
    listed.unlink()
    workspace.params(workspace.values)
    workspace.repro()


@pytest.mark.slow
def test_a_training_that_was_killed_resumes_to_the_same_bytes(workspace):
    """The whole of `dvc repro` is killed, as by a power cut, once the training has saved its second step."""
    changes = {"steps": 4, "checkpoint_every": 1}
    workspace.params({**workspace.values, "train": {**workspace.values["train"], **changes}})
    before = {run.name for run in (workspace.folder / "var/training").iterdir()}
    command = [sys.executable, "-m", "dvc", "repro", "train"]
    killed = subprocess.Popen(command, cwd=workspace.folder, env=workspace.environment, start_new_session=True)
    saved = "train/checkpoints/step-000002/checkpoint.json"
    while not [run for run in (workspace.folder / "var/training").glob(f"*/{saved}") if run.parts[-5] not in before]:
        assert killed.poll() is None
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (workspace.folder / "models/train").exists()
    ran, _, printed = workspace.repro("train")
    assert ran == [*ASKED, "train"] and "train: resumes at step" in printed
    paths = ["--data", "data/faces", "--weights", "weights", "--out", "../undisturbed/train"]
    workspace.p2c("train", "--params", "reports/params.yaml", *paths)
    for name in ("checkpoints", "samples"):
        undisturbed = folder_hash(workspace.folder.parent / "undisturbed/train" / name)
        assert folder_hash(workspace.folder / "models/train" / name) == undisturbed
    # MLflow: the run that was killed has ended well, and is the one that the checkpoints belong to.
    client = MlflowClient(f"sqlite:///{workspace.folder}/var/mlflow.db")
    experiment = client.get_experiment_by_name("photo2cartoon").experiment_id
    runs = client.search_runs([experiment], "params.`train.steps` = '4'")
    continued = json.loads((workspace.folder / "models/train/run.json").read_text())["mlflow_run"]
    assert [run.info.status for run in runs] == ["FINISHED", "FINISHED"] and continued in {r.info.run_id for r in runs}
    workspace.params(workspace.values)
    workspace.repro()


@pytest.fixture(scope="module")
def versions(workspace):
    """The workspace with a second version of data, parameters and model; what each version holds."""
    kept = (PHOTOS, "data/faces", "models/selected")
    held = {"v1": {path: folder_hash(workspace.folder / path) for path in kept}}
    photos = workspace.folder / PHOTOS
    shutil.copy(photos / "hopper--left.png", photos / "ada--portrait.png")
    workspace.values = {**workspace.values, "train": {**workspace.values["train"], "lr": 0.002}}
    workspace.params(workspace.values)
    workspace.second = workspace.repro("select")  # without the slow export
    workspace.dvc("add", PHOTOS)
    workspace.git("add", f"{PHOTOS}.dvc")
    workspace.commit("v2")
    held["v2"] = {path: folder_hash(workspace.folder / path) for path in kept}
    workspace.dvc("push", "--all-tags")
    return held


@pytest.mark.slow
def test_a_photograph_added_to_a_folder_reruns_what_follows(workspace, versions):
    assert workspace.second[0] == [stage for stage in STAGES if stage not in ("assets", "report", "export")]
    assert (workspace.folder / "data/raw/photos/ada--portrait.png").exists()
    assert all(versions["v1"][path] != versions["v2"][path] for path in versions["v1"])


@pytest.mark.slow
@pytest.mark.usefixtures("versions")
def test_two_versions_are_told_apart(workspace):
    changed = json.loads(workspace.dvc("diff", "v1", "v2", "--json").stdout)
    assert "data/photos/ada--portrait.png" in {entry["path"] for entry in changed["added"]}
    assert "models/selected/" in {entry["path"] for entry in changed["modified"]}
    params = json.loads(workspace.dvc("params", "diff", "v1", "v2", "--json").stdout)
    assert params["reports/params.yaml"]["train.lr"] == {"old": 0.0001, "new": 0.002, "diff": 0.0019}
    metrics = json.loads(workspace.dvc("metrics", "diff", "v1", "v2", "--json").stdout)
    assert metrics["reports/selected.json"]["kernel_efficientnet"]["diff"] != 0
    now = json.loads(workspace.dvc("metrics", "show", "--json").stdout)[""]["data"]
    chosen = json.loads((workspace.folder / "models/selected/selection.json").read_text())
    assert now["reports/selected.json"]["data"][chosen["metric"]] == chosen["score"]
    parity = json.loads((workspace.folder / "models/export/parity.json").read_text())
    assert now["reports/exported.json"]["data"]["max_difference"] == parity["max_difference"]


@pytest.mark.slow
def test_a_checkout_brings_the_first_version_back_to_the_byte(workspace, versions):
    for tag in ("v1", "v2"):
        workspace.git("checkout", "-q", tag)
        workspace.dvc("checkout")
        assert {path: folder_hash(workspace.folder / path) for path in versions[tag]} == versions[tag]
    workspace.git("checkout", "-q", "main")


@pytest.mark.slow
def test_a_fresh_clone_pulls_everything_and_reruns_nothing(workspace, versions, tmp_path):
    clone = Workspace(tmp_path, origin=workspace)
    clone.git("checkout", "-q", "v1")
    clone.dvc("pull")
    assert {path: folder_hash(tmp_path / path) for path in versions["v1"]} == versions["v1"]
    assert clone.repro()[:2] == (ASKED, []) and clone.git("status", "--short") == ""
    # The source is gone, its pictures are not: they came with the data.
    shutil.rmtree(tmp_path / PHOTOS)
    ran, _, printed = clone.repro()
    assert ran == ASKED and "the photos stay as they were when last seen" in printed


@pytest.mark.slow
@pytest.mark.usefixtures("versions")
def test_other_projects_get_data_and_model_at_a_revision(workspace, versions, tmp_path):
    other = Workspace(tmp_path, git=False)
    for file in tmp_path.iterdir():
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    other.git("init", "-q")
    other.dvc("init", "-q")
    url = str(workspace.folder)
    other.dvc("get", url, "models/selected", "--rev", "v1")
    assert folder_hash(tmp_path / "selected") == versions["v1"]["models/selected"]
    other.dvc("import", url, "data/faces", "--rev", "v1")
    assert folder_hash(tmp_path / "faces") == versions["v1"]["data/faces"]
    other.dvc("update", "faces.dvc", "--rev", "v2")
    assert folder_hash(tmp_path / "faces") == versions["v2"]["data/faces"]
    # The registry of DVC's own tools: a version is a tag that gto sets, and has what dvc.yaml says of the artifact.
    workspace.run("gto", "register", "photo2cartoon", "v1", "--version", "v1.0.0")
    other.dvc("artifacts", "get", url, "photo2cartoon", "--rev", "v1.0.0", "-o", "model")
    assert folder_hash(tmp_path / "model") == versions["v1"]["models/selected"]


@pytest.mark.slow
@pytest.mark.usefixtures("versions")
def test_plots_show_curves_and_pictures_and_load_nothing(workspace):
    workspace.p2c("dvc-setup")
    workspace.dvc("plots", "diff", "v1", "v2")
    page = (workspace.folder / "dvc_plots/index.html").read_text()
    assert "<script src=" not in page and "<link" not in page and "cdn.jsdelivr.net" not in page
    for text in ("generator/cycle", "kernel_face", "v1_models_train_samples_step-000002.png", "drawings.png"):
        assert text in page
    static = workspace.folder / "dvc_plots/static"
    assert all((static / name).stat().st_size for name in ("v1_reports_evaluation_drawings.png",))


@pytest.mark.slow
@pytest.mark.usefixtures("versions")
def test_experiments_run_from_a_queue_and_are_compared(workspace):
    workspace.dvc("exp", "run", "--queue", "--name", "asks", "-S", "+select.promote=ask", "select")
    workspace.dvc("queue", "start")
    deadline = time.monotonic() + 120
    while "Success" not in (status := workspace.dvc("queue", "status").stdout):
        assert "Failed" not in status and time.monotonic() < deadline, status
        time.sleep(1)
    workspace.dvc("queue", "stop")
    log = workspace.dvc("queue", "logs", "asks").stdout
    # It found the version in this project's MLflow, and trained nothing again.
    version = json.loads((workspace.folder / "models/selected/selection.json").read_text())["version"]
    assert f"version {version}, candidate" in log and "Running stage 'train'" not in log
    table = workspace.dvc("exp", "show", "--csv", "--only-changed").stdout
    assert "asks" in table and "select.promote" in table
    workspace.dvc("exp", "apply", "asks")
    assert yaml.safe_load((workspace.folder / "params.yaml").read_text())["select"] == {"promote": "ask"}
