"""Tracks and models that the tests of audits share."""

import pytest
from tiny_tracks import MODEL, tiny_weights, write_bad_files, write_track

from lsaprobe_jax.models import checkpoints

# What a page must show and not run.
UGLY = "<script>alert(1)</script>".replace("/", "_") + " & =1.wav"


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
  """Models, 8 suspects and 14 reference tracks of one kind, and bad files."""
  root = tmp_path_factory.mktemp("audit")
  training = {"config": {"corpus": {"clip_seconds": 0.256}}}
  for seed, name in enumerate(("model", "other")):
    checkpoints.save_model(root / name, tiny_weights(MODEL, seed), MODEL, training)
  for seed in range(22):
    side = "suspects" if seed < 8 else "reference"
    write_track(root / side / f"{seed:02d}.wav", seed)
  (root / "suspects" / "07.wav").rename(root / "suspects" / UGLY)
  write_bad_files(root / "suspects")
  (root / "suspects" / "odd_rate.wav").unlink()
  return root
