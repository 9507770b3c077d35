"""Rows of a made-up cross-over, as `launch.eval` writes them."""

import numpy as np

TRACKS = [f"{group}{i:02d}" for group in "ab" for i in range(12)]


def rows(method="lsa_probe", seed=0, effect=1.0, models=("A", "B"), **names):
  """A cross-over: one clip a track, members higher by `effect`."""
  rng = np.random.default_rng(seed)
  made = []
  for model in models:
    for track in TRACKS:
      member = track[0] == model.lower()
      made.append(
        {
          "clip": f"{track}@0", "track": track, "group": track[0],
          "split": "member" if member else "nonmember", "model": model,
          "corpus": "toy", "method": method, "distance": None, "t_ratio": 0.4,
          "difficulty_calibration": "none", "seed": seed, "reached": None, "cost": None,
          "score": float(rng.normal() + effect * member), "nfe_forward": 4,
          "nfe_backward": 0, "seconds": 0.1,
        } | names
      )  # fmt: skip
  return made
