"""Names of the files and folders that stages hand to one another. Imports nothing of the project, so any module may use it."""

from __future__ import annotations

from pathlib import Path

# Default places in the project's folder, as dvc.yaml has them.
DATA = Path("data/faces")
RAW = Path("data/raw")
WEIGHTS = Path("weights")
MODEL_REPOSITORY = Path("triton_repo")
RESOLVED_PARAMS = Path("reports/params.yaml")
SOURCE_VERSIONS = Path("reports/sources.json")
NAMED_FILES = Path("reports/named-files.json")  # of what params.yaml names, the sha256
RELEASE = Path("reports/release.json")  # in the folder of a style
SELECTED = Path("models/selected")
REPORT = Path("reports/index.html")

# State of this machine that DVC does not track: MLflow's database, unfinished training runs, DVC's local remote.
LOCAL = Path("var")
TRITON_RUN = LOCAL / "triton"
UNFINISHED = "training"  # in LOCAL
PICTURE_HASHES = "hashes"  # in LOCAL
DATASET_SETTINGS = "datasets"  # in LOCAL

# `ingest` writes a folder for each kind of picture, and a card that names their sources.
PHOTOS, CARTOONS, DRAWINGS = "photos", "cartoons", "drawings"
SOURCES = "CARD.md"
LEFT_OUT = "left-out.csv"  # files of the sources that are no pictures

# `preprocess` writes trainA, trainB, testA and testB as photo2cartoon has them.
DRAWN = "drawnA"  # drawings of photographs, under the photographs' names
PSEUDO_DRAWN = "pseudoA"  # `pseudo-label`: the same by a generator, of photographs that nobody has drawn
TABLE = "pictures.csv"

# `train`
CHECKPOINTS, SAMPLES = "checkpoints", "samples"
STATE = "state"  # the newest saves by time, while the run lasts
STATS, RUN = "stats.jsonl", "run.json"
CURVES = "curves.csv"  # of losses; in the folder of `evaluate`, of scores

# A checkpoint. A network NAME is in NAME.safetensors, its average in NAME.average.safetensors.
CARD = "checkpoint.json"
OPTIMIZERS, RANDOM = "optimizers.safetensors", "random.safetensors"
CARTOON_GENERATOR = "genA2B.safetensors"

# `evaluate`: the scores of all checkpoints.
SCORES, SCORES_TABLE, SCORED_GRID = "scores.json", "scores.csv", "drawings.png"
SCORE_DRAWS = "draws.npz"  # bootstrap draws of every score, to compare models on the same photographs

# `select`
SELECTION = "selection.json"

# `export`
GRAPH, PARITY, PARITY_GRID = "generator.onnx", "parity.json", "parity.png"
REGISTERED_GRAPH = f"data/model/{GRAPH}"  # in a version's folder in MLflow, as `mlflow.pyfunc` reads it

# Triton's model repository: models, and what is in the generator's folder.
ENSEMBLE, GATE, PORTRAIT, GENERATOR, PICTURE = "photo2cartoon", "gate", "portrait", "generator", "picture"
CONFIG, VERSION_GRAPH, RETIRED = "config.pbtxt", "model.onnx", ".retired"
READY = "ready"  # in a server's run folder while it runs and has drawn a picture: for probes
CONTROL_KEY = "control.key"  # of a server's model control, in its run folder

# `measure` and the test phase
MEASURES, MEASURES_TABLE = "measures.json", "measures.md"
OVERVIEW = "overview.png"

# `cartoonize` of a folder
CARTOON_RECORD = "cartoons.csv"
