"""Triton model `picture`: see photo2cartoon.serving.steps.picture."""

from photo2cartoon.serving.steps.picture import TritonPythonModel  # noqa: F401
