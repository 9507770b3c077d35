"""MusicLDM and AudioLDM: latent diffusion on log-mel, one example at a time.

Chen et al. 2023 (arXiv 2308.01546) and Liu et al. 2023 (arXiv 2301.12503), in the form
that diffusers saves their pipelines. Modules carry the names of diffusers 0.42 and
transformers 5.24, so that a state dict maps onto the parameters one to one
(`porting.py`). Arrays are `[time, mel, channels]`; PyTorch's are
`[batch, channels, time, mel]`.
"""
