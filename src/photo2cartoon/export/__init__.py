"""A checkpoint to a graph that any runtime can draw with, and the proof that it draws the same."""
