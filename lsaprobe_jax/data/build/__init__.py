"""Builds corpora: from public packages (`recipes`), and from MAESTRO and FMA (`tfds`).

Reading a corpus needs nothing of it.
"""
