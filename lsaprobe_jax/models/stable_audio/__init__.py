"""Stable Audio Open (Evans et al. 2024, arXiv 2407.14358).

A transformer (`dit.py`) on Oobleck's latents (`models.oobleck`) predicts v on a
trigonometric path (`diffusion.TRIGONOMETRIC`). Arrays are [frames, channels];
PyTorch's are [batch, channels, frames].
"""
