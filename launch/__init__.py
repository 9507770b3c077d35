"""Launchers: the only modules that read flags."""
