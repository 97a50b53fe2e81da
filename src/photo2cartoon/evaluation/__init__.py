"""Scores checkpoints and models with explicitly named metrics, and selects a checkpoint."""
