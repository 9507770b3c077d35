"""Audits made again from the stored rows of a study; scores nothing, reads no flags."""

from typing import Any

import numpy as np

from lsaprobe_jax import probe
from lsaprobe_jax.attacks.lsa_probe import read_costs, read_degradations
from lsaprobe_jax.audit import statistics
from lsaprobe_jax.scoring import factories

Rows = list[dict[str, Any]]
# Row of the first clip by track and method, under one model.
Clips = dict[str, dict[str, dict[str, Any]]]


def first_clips(rows: Rows, methods) -> Clips:
  """By track and method the row of the track's first clip; whole tracks only."""
  found: Clips = {}
  for row in sorted(rows, key=lambda row: row["clip"]):
    if row["method"] in methods:
      found.setdefault(row["track"], {}).setdefault(row["method"], row)
  return {
    track: own for track, own in sorted(found.items()) if len(own) == len(methods)
  }


def scores_of(
  config, clips: Clips, parts: dict[str, list[str]], reference: Clips | None = None
) -> statistics.Scores:
  """Scores of tracks, the probe's read off its curves at the calibration tracks' tau.

  Args:
    config: all settings.
    clips: see `first_clips`.
    parts: tracks by `suspects`, `comparison` and `calibration`.
    reference: the same clips under a reference model, whose scores are taken off.
  """
  own = _values(config, clips, parts["calibration"])
  less = None
  if reference is not None:
    less = _values(config, reference, parts["calibration"])
  value = lambda track, method: (
    own[method][track] - (0.0 if less is None else less[method][track])
  )
  return statistics.Scores(
    **{
      part: {m: {t: value(t, m) for t in tracks} for m in config.methods}
      for part, tracks in parts.items()
    }
  )


def _values(config, clips: Clips, calibration: list[str]) -> dict[str, dict]:
  """Scores by method and track under one model."""
  values = {
    method: {track: own[method]["score"] for track, own in clips.items()}
    for method in config.methods
  }
  # All tracks every time: arrays of the same shapes are compiled for once.
  curves = tuple(
    np.array([own[factories.PROBE][name] for own in clips.values()])
    for name in ("budgets", "degradations")
  )
  worst = dict(
    zip(clips, read_degradations(*curves, config.tau.eta_ref).tolist(), strict=True)
  )
  tau = probe.calibrate_tau([worst[t] for t in calibration], config.tau.quantile)
  costs = zip(clips, read_costs(*curves, tau), strict=True)
  return values | {factories.PROBE: {track: cost["score"] for track, cost in costs}}


def judge(
  config, scores: statistics.Scores, permutations: int, seed: int
) -> dict[str, Any]:
  """What an audit says of such scores, tracks taken for independent."""
  return statistics.judge(
    scores.with_panel(), alpha=config.alpha, permutations=permutations, seed=seed
  )
