"""The dose: at how many passes over a clip a method first tells members apart.

Membership is not a yes or no of one model but a curve. A model is looked at on the way
of its training; every method has an AUC after each number of passes, and the *dose at
which its AUC passes 0.75* is where the curve crosses. The curve is the best rising one:
isotonic regression of the AUC (Barlow et al. 1972), between whose values the logarithm
of the dose is interpolated. The interval is that of whole tracks drawn anew, the same
draws at every dose.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize

from lsaprobe_jax.metrics import (
  bootstrap,
  estimates,
  intervals,
  permutation,
  pivot,
  power,
  sets,
)
from lsaprobe_jax.rows import Row

# The AUC that a method must pass.
WANTED = 0.75
# Sizes of the sets whose power is tabulated, and the level of the test.
SET_SIZES, SET_ALPHA = (5, 10, 20), 0.01
# Tracks that suspects are compared with.
SET_REFERENCE = 20


class Crossing(NamedTuple):
  """Where a method's AUC passes `WANTED`.

  Attributes:
    dose: passes over a clip; 0 where the AUC is above at the lowest dose already, and
      infinite where it is not reached at the highest.
    ci: percentile interval of whole tracks drawn anew, with 0 and infinity as above.
  """

  dose: float
  ci: tuple[float, float]


def crossing(doses: Sequence[float], aucs, wanted: float = WANTED) -> float:
  """The dose at which a rising curve through AUCs passes what is wanted.

  Args:
    doses: [k] ascending, above 0.
    aucs: [k] the AUC at each.
    wanted: the AUC to pass.

  Returns:
    A dose; 0 where the curve begins above, infinite where it ends below.

  Raises:
    ValueError: doses that do not ascend from above 0, or AUCs of another number.
  """
  doses, aucs = np.asarray(doses, float), np.asarray(aucs, float)
  if doses.shape != aucs.shape or doses.ndim != 1 or not doses.size:
    raise ValueError(f"doses {doses.shape} and AUCs {aucs.shape} must be [k]")
  if doses[0] <= 0 or (np.diff(doses) <= 0).any():
    raise ValueError(f"doses must ascend from above 0, got {doses.tolist()}")
  curve = optimize.isotonic_regression(aucs).x
  above = np.flatnonzero(curve >= wanted)
  if not above.size:
    return math.inf
  first = int(above[0])
  if first == 0:
    return 0.0
  low, high = curve[first - 1], curve[first]
  share = (wanted - low) / (high - low)
  left, right = np.log(doses[first - 1 : first + 1])
  return float(np.exp(left + share * (right - left)))


def crossings(
  rows: Iterable[Row], *, wanted: float = WANTED, resamples: int = 2_000, seed: int = 0
) -> list[dict]:
  """Where every setting's AUC passes what is wanted.

  The AUC is the cross-over mean or, where there is one target, its own; it is taken on
  the clips that were scored at every dose under every target.

  Args:
    rows: rows with the dose as `value`, raw and difficulty-calibrated
      (`study.with_reference`); those of the blind baseline, of development clips and of
      the null control are passed over.
    wanted: the AUC to pass.
    resamples: draws of whole tracks.
    seed: seed of the draws.

  Returns:
    Records in the order of the rows: the names of `pivot.SETTING`, `doses`, `aucs` at
    them, `crossing` (a `Crossing`), `nfe`, medians of what is spent on a clip as
    `forward/backward`, and `n` clips of `n_tracks` tracks.

  Raises:
    ValueError: naming the setting: a clip scored twice, or no clips in common.
  """
  return [
    dict(zip(pivot.SETTING, setting, strict=True)) | _crossing(curve, wanted)
    for setting, curve in _curves(rows, resamples, seed).items()
  ]


def crossings_of_seeds(
  trainings: Sequence[Iterable[Row]],
  *,
  wanted: float = WANTED,
  resamples: int = 2_000,
  seed: int = 0,
) -> list[dict]:
  """Where the mean AUC of trainings with several seeds passes what is wanted.

  A draw takes as many trainings as there are, with replacement, and the same tracks of
  all: the training seed is a level above the tracks. Two trainings say little of how
  trainings vary, and no interval can make up for that.

  Args:
    trainings: rows of each training, as `crossings` takes them.
    wanted: the AUC to pass.
    resamples: draws.
    seed: seed of the draws.

  Returns:
    Records as of `crossings`, of the settings that all trainings have, with
    `by_training`, the dose that each passes at.

  Raises:
    ValueError: as `crossings`, or where trainings have other doses or other tracks.
  """
  curves = [_curves(rows, resamples, seed) for rows in trainings]
  shared = [key for key in curves[0] if all(key in own for own in curves)]
  rng = np.random.default_rng(seed)
  picks = rng.integers(len(curves), size=(len(curves), resamples))
  records = []
  for setting in shared:
    own = [of_training[setting] for of_training in curves]
    same = lambda curve, first=own[0]: (
      curve.doses == first.doses and curve.meta["n_tracks"] == first.meta["n_tracks"]
    )
    if not all(map(same, own)):
      raise ValueError(f"{setting}: trainings differ in their doses or tracks")
    drawn = np.stack([curve.drawn for curve in own])
    # [trainings, doses, resamples], each resample with the trainings that it picked.
    picked = drawn[picks, :, np.arange(resamples)].mean(axis=0).T
    pooled = own[0]._replace(
      aucs=np.mean([curve.aucs for curve in own], axis=0), drawn=picked
    )
    by_training = [crossing(curve.doses, curve.aucs, wanted) for curve in own]
    named = dict(zip(pivot.SETTING, setting, strict=True))
    records.append(named | _crossing(pooled, wanted) | {"by_training": by_training})
  return records


def _curves(rows: Iterable[Row], resamples: int, seed: int) -> dict[tuple, "_Curve"]:
  """The curve of every setting; errors name it."""
  judged = [r for r in pivot.targets_only(rows) if r["method"] != pivot.BLIND]
  curves = {}
  for setting, own in pivot.groups(judged, pivot.SETTING).items():
    try:
      curves[setting] = _curve(own, resamples, seed)
    except ValueError as error:
      named = dict(zip(pivot.SETTING, setting, strict=True))
      raise ValueError(f"{named}: {error}") from error
  return curves


def set_power(
  rows: Iterable[Row],
  *,
  sizes: Sequence[int] = SET_SIZES,
  reference_tracks: int = SET_REFERENCE,
  alpha: float = SET_ALPHA,
) -> list[dict]:
  """Power of the test of a set of suspects (`sets`) at every dose.

  The effect is that of the members' tracks over the non-members', in pooled standard
  deviations of tracks, and the mean over the targets; power is that of the permutation
  test at it, for normal scores (`power.power`).

  Args:
    rows: as `crossings` takes them.
    sizes: numbers of suspects' tracks.
    reference_tracks: tracks that they are compared with.
    alpha: level of the test.

  Returns:
    Records in the order of the rows, one a setting and dose: the names of
    `pivot.SETTING`, `value`, `effect`, and `power` by size.
  """
  judged = [r for r in pivot.targets_only(rows) if r["method"] != pivot.BLIND]
  records = []
  for setting, own in pivot.groups(judged, pivot.SETTING).items():
    named = dict(zip(pivot.SETTING, setting, strict=True))
    for dose, at_dose in sorted(pivot.groups(own, "value").items()):
      of_models = pivot.groups(at_dose, "model").values()
      effect = float(np.mean([_effect(of_model) for of_model in of_models]))
      found = {n: power.power(effect, n, reference_tracks, alpha) for n in sizes}
      records.append(named | {"value": dose, "effect": effect, "power": found})
  return records


def controls(rows: Iterable[Row]) -> list[dict]:
  """The other half against development tracks, neither of which a target has seen.

  Where it moves away from 0.5 with the dose, a score tells what is like the training
  music, and not what was trained on. A raw score may be off at every dose, as the two
  are not of the same packages in equal shares.

  Args:
    rows: as `crossings` takes them, with rows of development clips. Settings that have
      none under some target have no record.

  Returns:
    Records in the order of the rows, one a setting and dose: the names of
    `pivot.SETTING`, `value`, `auc`, the mean over the targets, its interval by track
    `auc_ci`, and `n` clips a target on average.
  """
  unseen = [
    r
    for r in rows
    if r["split"] in ("nonmember", "dev")
    and r["model"] != pivot.REFERENCE
    and r["method"] != pivot.BLIND
  ]
  records = []
  for setting, own in pivot.groups(unseen, pivot.SETTING).items():
    named = dict(zip(pivot.SETTING, setting, strict=True))
    for value, at_dose in sorted(pivot.groups(own, "value").items()):
      lanes = pivot.pivot(at_dose, "model", "clip")
      if all(_has_both(lane.values()) for lane in lanes.values()):
        records.append(named | {"value": value} | _control(list(lanes.values())))
  return records


def _has_both(rows: Iterable[Row]) -> bool:
  return {row["split"] for row in rows} == {"nonmember", "dev"}


def _control(lanes: list[dict[str, Row]]) -> dict:
  """AUC of non-members against development clips, the mean over targets."""
  clips = sorted(set().union(*lanes))
  used = np.array([[clip in lane for clip in clips] for lane in lanes])
  of = lambda lane, clip, what, missing: what(lane[clip]) if clip in lane else missing
  scores = [[of(x, c, lambda r: r["score"], math.nan) for c in clips] for x in lanes]
  labels = [
    [of(x, c, lambda r: r["split"] == "nonmember", False) for c in clips] for x in lanes
  ]
  track_of = {clip: row["track"] for lane in lanes for clip, row in lane.items()}
  found = intervals.clustered_auc(
    scores, labels, [track_of[clip] for clip in clips], used
  )
  mean = np.full(len(lanes), 1 / len(lanes))
  low, high = intervals.interval(found, mean)
  return {
    "auc": float(found.auc.mean()),
    "auc_ci": None if math.isnan(low) else [low, high],
    "n": float(used.sum(axis=1).mean()),
  }


def _effect(rows: list[Row]) -> float:
  """Difference of the means of tracks, members less others, in standard deviations."""
  member, other = (
    sets.track_means(
      [r["score"] for r in rows if r["split"] == split],
      [r["track"] for r in rows if r["split"] == split],
    )
    for split in pivot.JUDGED
  )
  suspect = np.arange(member.size + other.size) < member.size
  design = permutation.design(suspect)
  return permutation.effect(design, np.concatenate([member, other]))[1]


class _Curve(NamedTuple):
  """AUC of one setting by dose, and under draws of whole tracks."""

  doses: list[float]
  aucs: np.ndarray  # [k]
  drawn: np.ndarray  # [k, resamples]
  meta: dict


def _curve(rows: list[Row], resamples: int, seed: int) -> _Curve:
  """The cross-over mean at every dose, on the clips that all have."""
  lanes = pivot.pivot(rows, ("value", "model"), "clip")
  doses = sorted({dose for dose, _ in lanes})
  models = sorted({model for _, model in lanes})
  table = [lanes.get((dose, model), {}) for dose in doses for model in models]
  clips = sorted(set.intersection(*map(set, table)))
  if not clips:
    raise ValueError("no clip was scored at every dose under every target")
  scores = np.array([[lane[c]["score"] for c in clips] for lane in table], float)
  labels = np.array([[estimates.is_member(lane[c]) for c in clips] for lane in table])
  first = [table[0][clip] for clip in clips]
  tracks, sides = [r["track"] for r in first], [r["group"] for r in first]
  drawn = bootstrap.resample(
    scores, labels, tracks, sides, (), resamples=resamples, seed=seed
  ).auc
  # The mean over the targets, dose by dose.
  by_dose = lambda values: values.reshape(len(doses), len(models), -1).mean(axis=1)
  aucs = by_dose(intervals.clustered_auc(scores, labels).auc)[:, 0]
  spent = [[r[f"nfe_{way}"] for r in rows] for way in ("forward", "backward")]
  meta = {
    "nfe": "/".join(f"{np.median(values):g}" for values in spent),
    "n": len(clips),
    "n_tracks": len(set(tracks)),
  }
  return _Curve(doses, aucs, by_dose(drawn), meta)


def _crossing(curve: _Curve, wanted: float) -> dict:
  """What a record says of one setting."""
  found = [crossing(curve.doses, column, wanted) for column in curve.drawn.T]
  # Two doses of which one is infinite cannot be averaged.
  low, high = np.quantile(found, [0.025, 0.975], method="inverted_cdf")
  at = crossing(curve.doses, curve.aucs, wanted)
  return {
    "doses": curve.doses,
    "aucs": curve.aucs.tolist(),
    "crossing": Crossing(at, (float(low), float(high))),
    **curve.meta,
  }
