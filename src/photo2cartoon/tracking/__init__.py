"""MLflow: runs, the model registry, and where a model comes from."""
