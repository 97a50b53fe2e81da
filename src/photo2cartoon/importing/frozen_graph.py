"""Converts a frozen TensorFlow 1 graph to ONNX.

`segmenters` runs this file as a program where TensorFlow is installed, so it imports nothing from this project.
"""

from __future__ import annotations

import sys
from pathlib import Path

INPUT, OUTPUT = "input_1:0", "sigmoid/Sigmoid:0"
OPSET = 12  # the newest in which onnxruntime upsamples like TensorFlow 1 without complaint


def main(source: str, probe: str, answer: str, graph: str) -> None:
    """Convert the graph, and save TensorFlow's own output for a test image.

    Args:
        source: a GraphDef with variables frozen into constants.
        probe: npy, float32 `[1, S, S, 3]`: the test image, of the size that the graph is converted for.
        answer: npy to write: TensorFlow's float32 `[1, S, S, 1]` for it.
        graph: ONNX file to write.
    """
    import numpy as np
    import tensorflow as tf
    import tf2onnx

    definition = tf.compat.v1.GraphDef()
    try:
        definition.ParseFromString(Path(source).read_bytes())
    except Exception:  # protobuf raises its own classes
        sys.exit("no frozen graph of TensorFlow")
    nodes = {f"{node.name}:0" for node in definition.node}
    if not {INPUT, OUTPUT} <= nodes:
        sys.exit(f"a graph without {' or '.join(sorted({INPUT, OUTPUT} - nodes))}")
    picture = np.load(probe)
    with tf.Graph().as_default() as imported:
        tf.import_graph_def(definition, name="")
        with tf.compat.v1.Session(graph=imported) as session:
            np.save(answer, session.run(OUTPUT, {INPUT: picture}))
    tf2onnx.convert.from_graph_def(
        definition,
        input_names=[INPUT],
        output_names=[OUTPUT],
        opset=OPSET,
        shape_override={INPUT: list(picture.shape)},
        output_path=graph,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
