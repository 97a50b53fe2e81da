"""A photograph to an aligned, cut-out portrait.

The preprocess stage and the Triton model call this same code, so training and serving cannot drift apart. No torch here.
"""

from photo2cartoon.portrait.decode import PictureError, decode
from photo2cartoon.portrait.maker import Portrait, PortraitMaker

__all__ = ["PictureError", "Portrait", "PortraitMaker", "decode"]
