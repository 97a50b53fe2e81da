"""The stages as a Kubeflow pipeline: defined, compiled, and run without a cluster."""
