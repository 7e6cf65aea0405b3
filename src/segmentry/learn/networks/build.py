"""Networks, as architectures say."""

from __future__ import annotations

import torch

from segmentry.learn.architecture import Architecture
from segmentry.learn.networks.heads import FCN, DeepLab
from segmentry.learn.networks.pixel_network import PixelNetwork
from segmentry.learn.networks.unet import UNet

__all__ = ["build"]

_DECODERS: dict[str, type[PixelNetwork]] = {"unet": UNet, "fcn": FCN, "deeplab": DeepLab}


def build(architecture: Architecture, seed: int = 0) -> PixelNetwork:
    """Return a network with weights drawn at random, without touching the state of torch's own generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _DECODERS[architecture.decoder](architecture)
