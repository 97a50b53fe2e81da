"""Thin Kubeflow components with typed artifacts; each calls the function of one stage, in the project's image.

A component takes only its own section of the parameters, as JSON. A step whose section and inputs have not changed
comes from Kubeflow's cache, even if other parameters have changed.
"""

import functools

from kfp import dsl

# Default image; a pipeline compiled for a cluster uses the image that its cluster file names (pipelines/cluster.py).
IMAGE = "photo2cartoon:latest"

component = functools.partial(dsl.component, base_image=IMAGE, install_kfp_package=False)
