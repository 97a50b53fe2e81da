"""Every parameter of a run, with its type, range and default (`sections`, `train`), and params.yaml itself (`file`)."""

from photo2cartoon.params.file import DEFAULT_FILE, check, commented, describe, dump, load, merge, renamed
from photo2cartoon.params.section import Section
from photo2cartoon.params.sections import (
    Assets,
    Evaluate,
    Export,
    Ingest,
    Params,
    PortraitParams,
    Preprocess,
    Rollout,
    Select,
)
from photo2cartoon.params.train import LossWeights, Paired, Restyle, Train

__all__ = [
    "DEFAULT_FILE",
    "Assets",
    "Evaluate",
    "Export",
    "Ingest",
    "LossWeights",
    "Paired",
    "Params",
    "PortraitParams",
    "Preprocess",
    "Restyle",
    "Rollout",
    "Section",
    "Select",
    "Train",
    "check",
    "commented",
    "describe",
    "dump",
    "load",
    "merge",
    "renamed",
]
