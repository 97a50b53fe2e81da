"""Versions into and out of the model repository, the server, and calls to it."""
