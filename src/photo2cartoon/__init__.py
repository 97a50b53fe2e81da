"""Portrait photographs to cartoons: train, compare, pick, ship, serve, roll back."""

import os

__version__ = "0.1.0"

# Official builds of onnxruntime 1.29 and newer send statistics of use unless this is set before the first session.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
