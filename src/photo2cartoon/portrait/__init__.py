"""Turns a photograph into an aligned, cut-out portrait.

The preprocess stage and the Triton model share this code, so training and serving cannot drift apart. It imports no torch.
"""

from photo2cartoon.portrait.decode import PictureError, decode
from photo2cartoon.portrait.maker import Portrait, PortraitMaker

__all__ = ["PictureError", "Portrait", "PortraitMaker", "decode"]
