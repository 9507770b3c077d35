"""Denoisers, and what turns audio into their states and back."""

from lsaprobe_jax.models.diffusion_model import DiffusionModel

__all__ = ["DiffusionModel"]
