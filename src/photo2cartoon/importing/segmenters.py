"""Converts third-party segmentation networks to ONNX, once; `portrait` then runs them without torch or TensorFlow.

Every graph maps one image, float32 `[1, S, S, 3]`, RGB in 0..1, to float32 `[1, S, S, 1]`: the probability that each
pixel belongs to the person. Each graph is compared with the original network before it is written.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

from photo2cartoon.errors import UserError, first_line

OPSET = 18
TOLERANCE = 1e-4  # largest difference allowed between a graph's output and the original's
PHOTO2CARTOON_SIDE = 384
# Packages that read a TensorFlow 1 graph today; kept out of the project's environment, with which they conflict.
TENSORFLOW = ("tensorflow-cpu==2.21.0", "tf2onnx==1.17.0", "onnx==1.23.2", "numpy==2.4.6", "protobuf==7.36.2")


def sinet(source: Path, target: Path) -> None:
    """Convert SINet's state dict to a graph for 224 px that includes normalisation and softmax.

    Args:
        source: `SINet.pth`, verified.
        target: the graph to write.

    Raises:
        UserError: the file is not SINet's state dict, or the graph's output differs from torch's.
    """
    import torch

    from photo2cartoon.networks.sinet import SIDE, SINet, normalise

    class _Person(torch.nn.Module):
        def __init__(self, network: SINet) -> None:
            super().__init__()
            self.network = network

        def forward(self, picture: torch.Tensor) -> torch.Tensor:
            logits = self.network(normalise(picture.permute(0, 3, 1, 2)))
            return logits.softmax(1)[:, 1:].permute(0, 2, 3, 1)

    network = SINet()
    try:
        network.load_state_dict(torch.load(source, map_location="cpu", weights_only=True))
    except Exception as error:  # torch's and pickle's errors have no common class
        raise UserError(f"{source}: not SINet's state dict: {first_line(error)}") from None
    person = _Person(network).eval()
    picture = torch.from_numpy(probe(SIDE))
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            person, (picture,), input_names=["picture"], output_names=["person"], opset_version=OPSET, dynamo=True,
            verbose=False,
        )  # fmt: skip
        expected = person(picture).numpy()
    assert program is not None
    proto = program.model_proto
    for item in [proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.initializer]:
        del item.metadata_props[:]  # exporter metadata: half of the file, with paths of the exporting machine
    target.write_bytes(proto.SerializeToString())
    _must_agree(source, target, picture.numpy(), expected)


def photo2cartoon(source: Path, target: Path) -> None:
    """Convert photo2cartoon's frozen TensorFlow 1 graph of 384 px with tf2onnx, in a temporary environment.

    OpenCV reads such graphs without TensorFlow, but only the simplest: of eight U-Nets as Keras freezes them it read
    one (docs/explanation/decisions.md). With TensorFlow available, the result can also be compared with the original.

    Args:
        source: `seg_model_384.pb`, verified.
        target: the graph to write.

    Raises:
        UserError: uv or the package registry is not available, the file is not such a graph, or the result differs from
            TensorFlow's.
    """
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if uv is None:
        raise UserError(f"{source}: uv is needed to convert it, and is not here; `pip install uv` brings it")
    packages = [part for package in TENSORFLOW for part in ("--with", package)]
    command = [uv, "run", "--isolated", "--no-project", "--quiet", "--python", sys.executable, *packages, "python"]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if links := os.environ.get("PIP_FIND_LINKS"):  # uv does not read pip's settings
        environment.setdefault("UV_FIND_LINKS", links)
    picture = probe(PHOTO2CARTOON_SIDE)
    with tempfile.TemporaryDirectory() as temporary:
        asked, answer = Path(temporary) / "probe.npy", Path(temporary) / "answer.npy"
        np.save(asked, picture)
        program = Path(__file__).with_name("frozen_graph.py")
        done = subprocess.run(
            [*command, program, source.resolve(), asked, answer, target.resolve()],
            env=environment, cwd=temporary, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise UserError(
                f"{source}: cannot be converted by TensorFlow in an environment of its own: {_reason(done.stderr)}"
            )
        _must_agree(source, target, picture, np.load(answer))


def probe(side: int) -> np.ndarray:
    """Make a test image of blots of all sizes and colours, always the same; float32 `[1, side, side, 3]`, 0..1."""
    import cv2

    noise = np.random.default_rng(0)
    blots = [
        cv2.resize(noise.random((n, n, 3), dtype=np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
        for n in (3, 9, 27, 81)
    ]
    return np.clip(np.mean(blots, axis=0) * 2 - 0.5, 0, 1)[None].astype(np.float32)


def _reason(output: str) -> str:
    """Return uv's `error:` line with the next one, which has the cause; otherwise a program's last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["no reason given"]
    first = next((number for number, line in enumerate(lines) if line.startswith("error:")), len(lines) - 1)
    return " ".join(lines[first : first + 2])


def _must_agree(source: Path, graph: Path, picture: np.ndarray, expected: np.ndarray) -> None:
    from photo2cartoon.serving.session import open_session

    session = open_session(graph)
    got = session.run(None, {session.get_inputs()[0].name: picture})[0]
    gap = np.abs(got - expected).max() if got.shape == expected.shape else np.inf
    if not gap <= TOLERANCE:
        raise UserError(f"{source}: the converted graph differs from the original by {gap:.2g}: refused")
