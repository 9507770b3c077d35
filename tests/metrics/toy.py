"""Rows of a cross-over of four clips, small enough to follow by hand."""

import numpy as np

GROUPS = {"c1": "a", "c2": "a", "c3": "b", "c4": "b", "c5": None}
SCORES = {
  "A": {"c1": 4.0, "c2": 2.0, "c3": 3.0, "c4": 1.0},  # 3 of 4 pairs won
  "B": {"c1": 1.0, "c2": 2.0, "c3": 3.0, "c4": 4.0},  # all of them
  "reference": {"c1": 1.0, "c2": 0.0, "c3": 0.0, "c4": 0.5},  # a against b: 2.5 of 4
}


def row(model, clip, score, **changes):
  member = {"A": "a", "B": "b", "target": "a"}.get(model)
  fields = {
    "clip": clip,
    "track": f"track of {clip}",
    "group": GROUPS[clip],
    "split": "member" if GROUPS[clip] == member else "nonmember",
    "model": model,
    "corpus": "toy",
    "method": "lsa_probe",
    "distance": "mrstft",
    "t_ratio": 0.6,
    "difficulty_calibration": "none",
    "score": score,
    "cost": -score,
    "reached": clip != "c1",
    "nfe_forward": 10,
    "nfe_backward": 8,
    "seconds": 0.5,
    "seed": 0,
  }
  return {**fields, **changes}


def rows(models=("A", "B", "reference")):
  return [row(m, clip, score) for m in models for clip, score in SCORES[m].items()]


def alike_clips(rng, tracks=12, clips=4):
  """Scores, labels [2, n], tracks and sides of a cross-over."""
  track = np.repeat(np.arange(2 * tracks), clips)
  side = track < tracks
  labels = np.stack([side, ~side])
  hard = rng.normal(size=2 * tracks)[track]
  return hard + labels + rng.normal(size=(2, track.size)), labels, track, side
