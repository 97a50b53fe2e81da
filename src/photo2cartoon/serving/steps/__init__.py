"""The models of the ensemble that Triton's python backend runs; `triton_repo/*/1/model.py` only import them.

Their code is that of the installed release, whichever release put the repository where it is.
"""
