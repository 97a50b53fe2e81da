"""Thin Kubeflow components with typed artifacts; each calls the function of one stage, in the project's image.

A component takes only its own section of the parameters. A step whose section and inputs have not changed
comes from Kubeflow's cache, even if other parameters have changed.
"""

from __future__ import annotations

from collections.abc import Callable

# Default image; a pipeline compiled for a cluster uses the image that its cluster file names (pipelines/cluster.py).
IMAGE = "photo2cartoon:latest"


def component() -> Callable:
    """Return kfp's decorator for a component that runs in the project's image.

    kfp is imported here, not above: inside a step kfp.dsl has no decorators, and steps import modules of this package.
    """
    from kfp import dsl

    return dsl.component(base_image=IMAGE, install_kfp_package=False)
