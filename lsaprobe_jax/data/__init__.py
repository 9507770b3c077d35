"""Corpora: decoding, preparation, splits by track, and the recipes that build them."""
