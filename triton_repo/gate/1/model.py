"""Triton model `gate`: see photo2cartoon.serving.steps.gate."""

from photo2cartoon.serving.steps.gate import TritonPythonModel  # noqa: F401
