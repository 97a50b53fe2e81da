"""Triton model `portrait`: see photo2cartoon.serving.steps.portrait."""

from photo2cartoon.serving.steps.portrait import TritonPythonModel  # noqa: F401
