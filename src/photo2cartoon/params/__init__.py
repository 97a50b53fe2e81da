"""Every parameter of a run, with its type, range and default (`sections`), and params.yaml itself (`file`)."""

from photo2cartoon.params.file import DEFAULT_FILE, check, commented, describe, dump, load, merge, renamed
from photo2cartoon.params.sections import (
    Assets,
    Evaluate,
    Export,
    Ingest,
    LossWeights,
    Paired,
    Params,
    PortraitParams,
    Preprocess,
    Rollout,
    Section,
    Select,
    Train,
)

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
