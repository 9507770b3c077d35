"""Denoisers and what turns audio into their states and back."""
