"""Readers of weights that anyone may have written; none runs what a file holds."""
