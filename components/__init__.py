"""One thin Kubeflow component a stage: typed artifacts in and out, the stage's own function inside, the project's image."""

IMAGE = "photo2cartoon:latest"
