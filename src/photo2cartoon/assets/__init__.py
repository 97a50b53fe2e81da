"""Third-party files: what there is, found or fetched, and verified by hash before anything uses it."""
