"""LSA-Probe in JAX: membership audits of music diffusion models."""

__version__ = "0.1.0"
