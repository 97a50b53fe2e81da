"""Datasets as MLflow shows them: which portraits a run read, by DVC's hash, with their numbers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOCK = Path("dvc.lock")
DIGEST_LENGTH = 36  # MLflow's limit, and the length of DVC's hash of a folder


def portraits(data: Path, sha256: str, split: str, counts: Mapping[str, int]) -> Any:
    """Describe a split of the dataset.

    Args:
        data: the dataset's folder.
        sha256: hash of its images.
        split: `train`, `test`, or `train+test`.
        counts: number of images of each kind.

    Returns:
        `mlflow.entities.Dataset`. Its digest is DVC's hash of the folder if DVC tracks it in the working directory, and
        otherwise the beginning of `sha256`.
    """
    from mlflow.entities import Dataset

    dvc = dvc_hash(data)
    source = {"uri": str(data), "sha256": sha256} | ({"dvc": dvc} if dvc else {})
    columns = [{"type": "binary", "name": name, "required": True} for name in counts]
    return Dataset(
        name=f"portraits {split}",
        digest=(dvc or sha256)[:DIGEST_LENGTH],
        source_type="dvc" if dvc else "local",
        source=json.dumps(source),
        schema=json.dumps({"mlflow_colspec": columns}),
        profile=json.dumps({"num_rows": sum(counts.values()), "split": split, **counts}),
    )


def dvc_hash(data: Path) -> str | None:
    """Return the hash by which `dvc.lock` of the working directory names a folder, or None."""
    import yaml

    with contextlib.suppress(OSError, yaml.YAMLError, AttributeError, ValueError, KeyError, TypeError):
        path = data.resolve().relative_to(Path.cwd()).as_posix()
        for stage in yaml.safe_load(LOCK.read_text(encoding="utf-8"))["stages"].values():
            for out in stage.get("outs", ()):
                if out["path"] == path:
                    return out.get("md5")
    return None
