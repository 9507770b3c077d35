"""What a record is made of: AUCs, operating points and cutoffs of one setting.

Estimates are of k models on the same clips: of one target, of both of a cross-over
for their mean, or of the model that saw neither side, for the null control.
"""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np

from lsaprobe_jax.metrics import bootstrap, intervals, pivot, roc


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimates:
  """What one record needs: k models (1, or 2 for the mean) on their clips."""

  rows: list[list[dict]]  # [k][clips of that model]
  points: list[list[roc.TprAtFpr]]  # [k][targets]
  dev_cutoffs: list[list[roc.DevelopmentCutoff | None]]  # [k][targets]
  n_nonmember: list[int]  # [k]
  n_dev: int
  clustered: intervals.AucEstimate  # of k models
  delong: intervals.AucEstimate
  tpr_ci: list[intervals.Interval]  # by target, of the mean over the k models
  dropped: int


def by_record(models, development, how) -> Iterator[tuple[str, Estimates]]:
  """Record names with their estimates, for one setting.

  Args:
    models: rows by model and clip.
    development: by model, the highest scores of development tracks.
    how: target false-positive rates, bootstrap resamples and seed.
  """
  scored = {m: t for m, t in models.items() if m != pivot.REFERENCE}
  groups = {name: [name] for name in sorted(scored)}
  if scored.keys() >= set(pivot.CROSS_OVER):
    groups["mean"] = list(pivot.CROSS_OVER)
    _check_cross_over(*(scored[name] for name in pivot.CROSS_OVER))
  clips = sorted(set().union(*scored.values()))
  tables = dict(scored)
  # The null control is read on the clips that the targets are judged on.
  judged = set(clips)
  null = {c: r for c, r in models.get(pivot.REFERENCE, {}).items() if c in judged}
  if {row["group"] for row in null.values()} >= {"a", "b"}:
    tables[pivot.REFERENCE] = {
      c: r for c, r in null.items() if r["group"] in ("a", "b")
    }
    groups[pivot.REFERENCE] = [pivot.REFERENCE]
  for name, members in groups.items():
    common = [c for c in clips if all(c in tables[m] for m in members)]
    yield (
      name,
      _estimate(
        [[tables[m][c] for c in common] for m in members],
        [development[m] for m in members],
        len(clips) - len(common),
        how,
      ),
    )


def _estimate(rows, development, dropped, how) -> Estimates:
  targets, resamples, seed = how
  scores = np.array([[row["score"] for row in table] for table in rows], float)
  labels = np.array([[is_member(row) for row in table] for table in rows])
  points = [
    [roc.tpr_at_fpr(s, label, target) for target in targets]
    for s, label in zip(scores, labels, strict=True)
  ]
  tracks = [row["track"] for row in rows[0]]
  for own in labels:
    _check_tracks(tracks, own.tolist())
  sides = [row["group"] for row in rows[0]]
  hashable = lambda table: tuple(map(tuple, table.tolist()))
  tpr_ci = _bootstrapped_tpr(
    (hashable(scores), hashable(labels), tuple(tracks), tuple(sides)),
    (tuple(targets), resamples, seed),
  )
  return Estimates(
    rows=rows,
    points=points,
    dev_cutoffs=[
      [_dev_cutoff(s, label, dev, target) for target in targets]
      for s, label, dev in zip(scores, labels, development, strict=True)
    ],
    n_nonmember=np.sum(~labels, axis=1).tolist(),
    n_dev=sum(map(len, development)),
    clustered=intervals.clustered_auc(scores, labels, tracks),
    delong=intervals.clustered_auc(scores, labels),
    tpr_ci=tpr_ci,
    dropped=dropped,
  )


# An ablation has the baselines that it leaves alone at every value.
@functools.lru_cache(maxsize=4096)
def _bootstrapped_tpr(clips, how) -> list[intervals.Interval]:
  """By target, the interval of TPR averaged over the models (`bootstrap.resample`)."""
  scores, labels, tracks, sides = clips
  targets, resamples, seed = how
  replicates = bootstrap.resample(
    scores, labels, tracks, sides, targets, resamples=resamples, seed=seed
  )
  return [bootstrap.percentile_ci(values) for values in replicates.tpr.mean(axis=0)]


def _dev_cutoff(scores, labels, development, target) -> roc.DevelopmentCutoff | None:
  cut = roc.cutoff(development, target)
  return None if cut is None else roc.at_cutoff(scores, labels, cut)


def is_member(row: dict) -> bool:
  """Whether a row is on the side of the members; side a under the null control."""
  return (
    row["group"] == "a" if row["model"] == pivot.REFERENCE else row["split"] == "member"
  )


def _check_tracks(tracks: list[str], labels: list[bool]) -> None:
  """Refuses a track with clips on both sides, which are alike."""
  members = {track for track, label in zip(tracks, labels, strict=True) if label}
  others = {track for track, label in zip(tracks, labels, strict=True) if not label}
  if both := members & others:
    raise ValueError(
      f"{len(both)} tracks have clips on both sides, e.g. {min(both)}: a track is"
      " trained on or it is not"
    )


def _check_cross_over(first: dict, second: dict) -> None:
  same = [
    c for c in first if c in second and is_member(first[c]) == is_member(second[c])
  ]
  if same:
    raise ValueError(
      f"{len(same)} clips have the same split under A and B, e.g. {min(same)}:"
      " in a cross-over a clip is a member of exactly one"
    )
