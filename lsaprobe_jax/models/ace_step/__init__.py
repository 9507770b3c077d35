"""ACE-Step 1.5 (Gong et al. 2026, arXiv 2602.00744).

A transformer (`dit.py`) on Oobleck's latents (`models.oobleck`) predicts the velocity
of a rectified flow (`diffusion.RECTIFIED_FLOW`). Arrays are [frames, channels], as
PyTorch's transformer has them too; its autoencoder's are [batch, channels, frames].
"""
