"""Turns a photograph into an aligned, cut-out portrait.

The preprocess stage and the Triton model share this code, so training and serving cannot drift apart. It does not
import torch.
"""

from photo2cartoon.portrait.decode import PictureError, decode
from photo2cartoon.portrait.maker import Portrait, PortraitMaker
from photo2cartoon.portrait.photograph import Photograph

__all__ = ["Photograph", "PictureError", "Portrait", "PortraitMaker", "decode"]
