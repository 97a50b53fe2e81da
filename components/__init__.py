"""One thin Kubeflow component a stage: typed artifacts in and out, the stage's own function inside, the project's image.

A component takes its own section of the parameters, as JSON: a step whose section and inputs have not changed comes from
Kubeflow's cache, whatever else is different.
"""

import functools

from kfp import dsl

# Stands in for the image until a pipeline is made for a cluster, which names its own (pipelines/cluster.py).
IMAGE = "photo2cartoon:latest"

component = functools.partial(dsl.component, base_image=IMAGE, install_kfp_package=False)
