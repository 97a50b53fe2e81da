"""The exported model as MLflow loads it, `mlflow.pyfunc.load_model`: encoded photographs to encoded cartoons.

A version's folder in MLflow holds everything for that: this package, the graph, the settings and weights of the
portrait, and the packages to install. No pickled code.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from pathlib import Path
from typing import Any

import photo2cartoon
from photo2cartoon.assets.catalogue import find_asset, read_catalogue
from photo2cartoon.assets.collect import ensure
from photo2cartoon.assets.fetch import installed_file
from photo2cartoon.atomic import atomic_write
from photo2cartoon.files import cache_folder, sha256_of
from photo2cartoon.layout import GRAPH
from photo2cartoon.params import PortraitParams
from photo2cartoon.portrait import Photograph, PortraitMaker
from photo2cartoon.portrait.maker import required_assets
from photo2cartoon.provenance.encode import PNG, encode
from photo2cartoon.provenance.mark import Mark
from photo2cartoon.serving.session import draw, open_session

PHOTO, CARTOON = "photo", "cartoon"
MODEL_DATA = "model"  # name of the data folder; MLflow puts it into `data/`
SETTINGS, WEIGHTS_FOLDER = "portrait.json", "weights"
# numpy comes with OpenCV, which asks for 2: the lock has 1.26 against its wish, for Triton (requirements-overrides.txt).
_PACKAGES = (
    *("mlflow", "pandas", "pillow", "pillow-heif", "opencv-python-headless", "ai-edge-litert", "onnxruntime"),
    *("pydantic", "pyyaml", "tqdm", "requests"),
)
_FACE_ALIGNMENT = ("face-alignment", "torch")  # for its detectors and landmarks


class CartoonModel:
    """The model that MLflow's `load_model` returns inside its wrapper.

    Args:
        folder: the data folder of the version.
    """

    def __init__(self, folder: Path) -> None:
        portrait = PortraitParams.model_validate_json((folder / SETTINGS).read_text(encoding="utf-8"))
        weights = _gather(folder / WEIGHTS_FOLDER, required_assets(portrait))
        self._limits = portrait.max_pixels, portrait.max_bytes
        self._maker = PortraitMaker.from_params(weights, portrait)
        self._session = open_session(folder / GRAPH)
        named = self._session.get_modelmeta().custom_metadata_map.get("mlflow_version")
        self._mark = Mark(f"version {named}" if named else f"graph {sha256_of(folder / GRAPH)[:16]}")

    def predict(self, model_input: Any, params: Any = None) -> Any:
        """Make cartoons.

        Args:
            model_input: a data frame with the column `photo`, encoded photographs.
            params: MLflow's own argument; not used.

        Returns:
            A data frame with the column `cartoon`, PNG 256x256, marked as generated.

        Raises:
            PictureError: a photograph has no face, or cannot be read.
        """
        import pandas as pd

        photos = [Photograph(bytes(photo), *self._limits) for photo in model_input[PHOTO]]
        portraits = [self._maker.of(photo).rgba for photo in photos]
        cartoons = [draw(self._session, portrait[None])[0] for portrait in portraits]
        return pd.DataFrame({CARTOON: [encode(cartoon, PNG, self._mark) for cartoon in cartoons]})


def _gather(packed: Path, names: list[str]) -> Path:
    """Put the version's own files, and those of installed packages, into one folder of the user's cache."""
    weights = cache_folder() / WEIGHTS_FOLDER
    for path in packed.iterdir() if packed.is_dir() else ():  # object storage keeps no empty folder
        if not (weights / path.name).exists():
            with atomic_write(weights / path.name) as partial:
                shutil.copyfile(path, partial)
    ensure(names, weights)
    return weights


def _load_pyfunc(data_path: str) -> CartoonModel:
    """Load the model; MLflow calls this."""
    return CartoonModel(Path(data_path))


def write_pyfunc(out: Path, graph: Path, portrait: PortraitParams, weights: Path, photograph: bytes) -> None:
    """Write a model folder for MLflow, with a signature, an input example and pinned requirements.

    Args:
        out: a folder that does not exist yet; what it is made of lies beside it meanwhile.
        graph: the exported graph.
        portrait: the `portrait` section.
        weights: folder that the `assets` stage filled. A file that an installed package carries is not copied; what
            is missing is fetched.
        photograph: encoded; the input example.
    """
    import pandas as pd
    from mlflow import pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    data, package = out.parent / MODEL_DATA, out.parent / "code" / "photo2cartoon"
    (data / WEIGHTS_FOLDER).mkdir(parents=True)
    shutil.copyfile(graph, data / GRAPH)
    (data / SETTINGS).write_text(json.dumps(portrait.model_dump(mode="json"), indent=2), encoding="utf-8")
    packages = [*_PACKAGES]
    if "face-alignment" in portrait.landmarks or portrait.detector in ("sfd", "blazeface"):
        packages += _FACE_ALIGNMENT
    if portrait.landmarks == "dlib" or portrait.detector in ("hog", "mmod"):
        packages.append("dlib-bin")
    for name in required_assets(portrait):
        asset = read_catalogue()[name]
        if asset.package and installed_file(asset):
            packages.append(asset.package.split("==")[0])
        else:
            ensure([name], weights)
            shutil.copyfile(find_asset(name, weights), data / WEIGHTS_FOLDER / asset.used)
    shutil.copytree(
        Path(photo2cartoon.__file__).parent,
        package,
        ignore=shutil.ignore_patterns("__pycache__", "*.safetensors", "*.onnx"),
    )
    inputs, outputs = (Schema([ColSpec(DataType.binary, name)]) for name in (PHOTO, CARTOON))
    pyfunc.save_model(
        str(out),
        loader_module=__name__,
        data_path=str(data),
        code_paths=[str(package)],
        signature=ModelSignature(inputs, outputs),
        input_example=pd.DataFrame({PHOTO: [photograph]}),
        pip_requirements=[f"{name}=={_version(name)}" for name in dict.fromkeys(packages)],
    )
    shutil.rmtree(data)
    shutil.rmtree(package.parent)


def _version(package: str) -> str:
    return importlib.metadata.version(package).partition("+")[0]
