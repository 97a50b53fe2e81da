"""Scores generators: features of images, distances between sets of them, and the scorer that uses both."""
