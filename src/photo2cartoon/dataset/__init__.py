"""Images on disk: ingesting them, making portraits from them, reading them for training."""
