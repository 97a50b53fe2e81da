"""Converts third-party trained weights to this project's formats without running third-party code."""
