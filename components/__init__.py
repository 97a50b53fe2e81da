"""One thin Kubeflow component a stage: typed artifacts in and out, the stage's own function inside, the project's image."""

import os

# Where the cluster pulls the project's image from; `P2C_IMAGE=… make pipeline` compiles for another place.
IMAGE = os.environ.get("P2C_IMAGE", "photo2cartoon:latest")
