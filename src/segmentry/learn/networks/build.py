"""Networks, as architectures say."""

from __future__ import annotations

import torch
from torch import nn

from segmentry.learn.cellpose_network import CellposeNetwork
from segmentry.learn.families import Family
from segmentry.learn.networks.cellpose import Cellpose
from segmentry.learn.networks.heads import FCN, DeepLab
from segmentry.learn.networks.pixel_network import PixelNetwork
from segmentry.learn.networks.stardist import StarDist
from segmentry.learn.networks.unet import UNet
from segmentry.learn.stardist_network import StarDistNetwork

__all__ = ["build"]

_DECODERS: dict[str, type[PixelNetwork]] = {"unet": UNet, "fcn": FCN, "deeplab": DeepLab}


def build(architecture: Family, seed: int = 0) -> nn.Module:
    """Return a network with weights drawn at random, without touching the state of torch's own generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if isinstance(architecture, CellposeNetwork):
            return Cellpose(architecture)
        if isinstance(architecture, StarDistNetwork):
            return StarDist(architecture)
        return _DECODERS[architecture.decoder](architecture)
