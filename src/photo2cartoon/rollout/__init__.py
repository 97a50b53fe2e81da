"""Brings a version to KServe step by step: a share of the calls first, then all of them or none."""
