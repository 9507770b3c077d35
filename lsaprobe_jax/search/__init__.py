"""Searches for the smallest perturbation that degrades a reconstruction."""
