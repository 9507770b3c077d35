"""Audit statistics on rows of scores (NumPy and SciPy only, no JAX)."""
