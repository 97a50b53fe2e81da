"""MLflow runs, model registry and lineage."""
