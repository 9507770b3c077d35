"""The statistics of an audit: suspects against tracks that were surely not trained on.

The reference is split by track. Its *calibration* tracks set tau, the scale on which
methods are put together, and cutoffs; its *comparison* tracks are what the suspects are
compared with. The calibration tracks are used for nothing else, so that without
training a suspect's score and the comparison tracks' scores could be exchanged, and

  p = (1 + #{comparison tracks that score at least as high}) / (1 + #comparison tracks)

is at most u with probability at most u (a conformal p-value): the share of tracks that
the model has not seen which would be accused along with this one. All suspects together
are tested by permutation of their mean difference, by album where albums are known
(`permutation`). One statistic, fixed beforehand, decides: the *panel*, the mean over
methods of scores in standard deviations of the calibration tracks. Each method's own
test stands beside it, corrected by Holm.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from lsaprobe_jax.data.clips import Clip
from lsaprobe_jax.metrics import comparisons, permutation, power, roc, sets, study

PANEL = "panel"
MODEL = "model"
# Groups of clips that stand for the parts of an audit.
GROUPS = {"suspect": "a", "comparison": "b", "calibration": "dev"}
# Standard deviations of fewer tracks put methods together badly.
MIN_CALIBRATION_TRACKS = 10
# Of alpha times a whole number.
_ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
  """Tracks that a reference needs on either side of its split."""

  calibration: int
  comparison: int

  @property
  def total(self) -> int:
    """Tracks of the smallest reference that allows a verdict."""
    return self.calibration + self.comparison


def smallest_reference(alpha: float, clips_per_track: int, clips_for_tau: int) -> Size:
  """The smallest reference with which a verdict at `alpha` is possible.

  Args:
    alpha: level of the verdict, in (0, 1). With n comparison tracks no p-value is
      below 1 / (n + 1).
    clips_per_track: clips of each track.
    clips_for_tau: calibration clips that tau needs.
  """
  return Size(
    calibration=max(MIN_CALIBRATION_TRACKS, -(-clips_for_tau // clips_per_track)),
    # Less a rounding error: 1 / 0.05 is 20 tracks with the suspect, not 21.
    comparison=math.ceil(1 / alpha - 1e-9) - 1,
  )


def split_reference(
  tracks: Sequence[str], size: Size, seed: int
) -> tuple[list[str], list[str]]:
  """(calibration tracks, comparison tracks), dealt at random, half to each.

  Of a small reference the comparison side gets no less than it needs, as far as the
  calibration side keeps what that needs.

  Raises:
    ValueError: fewer tracks than `size.total`.
  """
  count = len(set(tracks))
  if count < size.total:
    raise ValueError(f"{count} reference tracks where {size.total} are needed")
  half = min(count - count // 2, count - size.calibration)
  comparison = max(size.comparison, half)
  order = np.random.default_rng(seed).permutation(sorted(set(tracks))).tolist()
  return sorted(order[comparison:]), sorted(order[:comparison])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
  """Scores of tracks under one or more methods, higher = member.

  Attributes:
    suspects: by method, then by track.
    comparison: likewise; the same methods.
    calibration: likewise.
  """

  suspects: Mapping[str, Mapping[str, float]]
  comparison: Mapping[str, Mapping[str, float]]
  calibration: Mapping[str, Mapping[str, float]]

  def with_panel(self) -> "Scores":
    """The same with the panel as one more method.

    Raises:
      ValueError: the sides or the methods hold different tracks, or a method does not
        vary over the calibration tracks.
    """
    scale = {}
    for method, by_track in self.calibration.items():
      values = np.array(list(by_track.values()))
      if values.size < 2 or not values.std(ddof=1) > 0:
        raise ValueError(f"{method} does not vary over the calibration tracks")
      scale[method] = (values.mean(), values.std(ddof=1))
    sides = {}
    for field in dataclasses.fields(self):
      side = getattr(self, field.name)
      tracks = {frozenset(by_track) for by_track in side.values()}
      if side.keys() != scale.keys() or len(tracks) != 1:
        raise ValueError(f"{field.name}: methods or tracks differ")
      panel = {
        track: float(
          np.mean([(side[m][track] - mean) / sd for m, (mean, sd) in scale.items()])
        )
        for track in sorted(*tracks)
      }
      sides[field.name] = {**side, PANEL: panel}
    return Scores(**sides)


def tabulate(
  rows: list[dict[str, Any]], clips: tuple[Clip, ...], model: str = MODEL
) -> tuple[Scores, list[str]]:
  """Mean score of every track by method, over clips that every method scored.

  Args:
    rows: of all methods, one a clip, method and model; of a model with a reference,
      those less the reference's count.
    clips: all that should have been scored.
    model: whose rows.

  Returns:
    (scores without the panel, ids of the clips that some method has no score for).
  """
  own = [row for row in rows if row["model"] == model]
  calibrated = max((row["difficulty_calibration"] for row in own), default="none")
  own = [row for row in own if row["difficulty_calibration"] == calibrated]
  by_clip: dict[str, dict[str, float]] = {}
  for row in own:
    label = study.label(row["method"], row["difficulty_calibration"])
    by_clip.setdefault(row["clip"], {})[label] = row["score"]
  methods = list(dict.fromkeys(m for scores in by_clip.values() for m in scores))
  whole = [c for c in clips if by_clip.get(c.id, {}).keys() == set(methods)]
  failed = sorted({c.id for c in clips} - {c.id for c in whole})
  tables = {part: {} for part in GROUPS}
  for part, group in GROUPS.items():
    for method in methods:
      of_tracks: dict[str, list[float]] = {}
      for clip in whole:
        if clip.group == group:
          of_tracks.setdefault(clip.track, []).append(by_clip[clip.id][method])
      means = {track: float(np.mean(v)) for track, v in sorted(of_tracks.items())}
      tables[part][method] = means
  scores = Scores(
    suspects=tables["suspect"],
    comparison=tables["comparison"],
    calibration=tables["calibration"],
  )
  return scores, failed


def conformal(suspects, comparison) -> np.ndarray:
  """p-values [m] of suspects [m] against comparison tracks [n]; ties count against."""
  suspects, comparison = np.asarray(suspects, float), np.asarray(comparison, float)
  above = (comparison[None, :] >= suspects[:, None]).sum(axis=1)
  return (1 + above) / (1 + comparison.size)


def exchange(
  suspects: Sequence[str],
  comparison: Sequence[str],
  albums: Mapping[str, str] | None = None,
) -> permutation.Design:
  """How an audit's tracks could have been exchanged: suspects first.

  Args:
    suspects: names of tracks.
    comparison: likewise.
    albums: by track, of tracks on both sides; None to take all tracks for exchangeable.
      A track that is not there is an album of its own.
  """
  names = [*suspects, *comparison]
  return permutation.design(
    np.arange(len(names)) < len(suspects),
    None if albums is None else [albums.get(name) for name in names],
  )


def judge(
  scores: Scores,
  *,
  alpha: float,
  permutations: int = 9_999,
  seed: int = 0,
  albums: Mapping[str, str] | None = None,
) -> dict[str, Any]:
  """Everything that follows from the scores of an audit.

  Args:
    scores: with the panel (`Scores.with_panel`).
    alpha: level of the verdicts.
    permutations: at most so many permutations for a set's p-value.
    seed: of them.
    albums: see `exchange`.

  Returns:
    JSON-able values:
      alpha: as given.
      evidence: whether the set's p-value under the panel is at most alpha.
      p_value: that p-value, by permutation (`permutation.p_values`).
      lowest: the smallest p-value that this audit could have given.
      albums_exchanged: whether whole albums, or tracks within one, were exchanged.
      by_album: whether every track's album is known, and albums were exchanged.
      sets: by method the test of all suspects together (`sets.SetTest`; None for a
        single suspect); `p_holm` corrects over methods other than the panel.
      power: see `power_of`.
      tracks: one dict a suspect: `track`, `score` by method, `p` by method, `q` (the
        panel's p-value by Benjamini and Hochberg), `flagged` (panel p at most alpha).
      flagged: how many are, and `expected_flags`, how many would be by chance.
      cutoffs: by method the (1 - alpha) quantile of the calibration tracks, None where
        it does not exist, with the comparison tracks that lie above it.
  """
  names = sorted(scores.suspects[PANEL])
  values = _values(scores, names)
  tracks = _track_verdicts(values, names, alpha)
  design = exchange(names, list(scores.comparison[PANEL]), albums)
  tests = _set_tests(design, values, permutations, seed)
  both = np.concatenate([values[PANEL][side] for side in ("suspects", "comparison")])
  p_value = float(
    permutation.p_values(design, both, permutations=permutations, seed=seed)
  )
  return {
    "alpha": alpha,
    "evidence": bool(p_value <= alpha),
    "p_value": p_value,
    "lowest": design.lowest(permutations),
    "albums_exchanged": not design.by_track,
    "by_album": albums is not None
    and all(track in albums for track in (*names, *scores.comparison[PANEL])),
    "sets": tests,
    "power": power_of(design, alpha, tests[PANEL], permutations),
    "tracks": tracks,
    "flagged": sum(track["flagged"] for track in tracks),
    "expected_flags": expected_flags(
      len(names), values[PANEL]["comparison"].size, alpha
    ),
    "cutoffs": {
      method: _cutoff(v["calibration"], v["comparison"], alpha)
      for method, v in values.items()
    },
  }


def expected_flags(suspects: int, comparison: int, alpha: float) -> float:
  """Suspects above the level by chance.

  Conformal p-values are multiples of 1 / (n + 1), so that a track is flagged with
  probability floor(alpha (n + 1)) / (n + 1), which is less than alpha.
  """
  steps = comparison + 1
  return suspects * math.floor(alpha * steps + _ROUNDING) / steps


def _values(scores: Scores, names: list[str]) -> dict[str, dict[str, np.ndarray]]:
  """Scores [tracks] by method and side, the suspects' in the order of their names."""
  return {
    method: {
      side: np.array(list(getattr(scores, side)[method].values()))
      for side in ("comparison", "calibration")
    }
    | {"suspects": np.array([by_track[name] for name in names])}
    for method, by_track in scores.suspects.items()
  }


def _track_verdicts(values, names: list[str], alpha: float) -> list[dict[str, Any]]:
  """What `judge` says of each suspect."""
  p_values = {
    method: conformal(v["suspects"], v["comparison"]) for method, v in values.items()
  }
  q_values = stats.false_discovery_control(p_values[PANEL])
  return [
    {
      "track": name,
      "score": {m: float(v["suspects"][i]) for m, v in values.items()},
      "p": {m: float(p[i]) for m, p in p_values.items()},
      "q": float(q_values[i]),
      "flagged": bool(p_values[PANEL][i] <= alpha),
    }
    for i, name in enumerate(names)
  ]


def null_rejections(
  scores: Scores, *, alpha: float, seed: int = 0
) -> dict[str, Any] | None:
  """Rejections at alpha between random halves of the comparison tracks, by the panel.

  See `sets.NullRejections`; None of fewer than four tracks, which have no halves.
  """
  values = np.array(list(scores.comparison[PANEL].values()))
  if values.size < 4:
    return None
  found = sets.null_rejections(
    values, np.arange(values.size), alpha=alpha, permutations=199, seed=seed
  )
  return found._asdict()


def _set_tests(design, values, permutations: int, seed: int) -> dict[str, dict | None]:
  if values[PANEL]["suspects"].size < 2:
    return dict.fromkeys(values)
  tests = {
    method: sets.one_test(
      design,
      np.concatenate([v["suspects"], v["comparison"]]),
      permutations=permutations,
      seed=seed,
    )._asdict()
    for method, v in values.items()
  }
  methods = [method for method in tests if method != PANEL]
  corrected = comparisons.holm([tests[method]["p_value"] for method in methods])
  for method, p_value in zip(methods, corrected, strict=True):
    tests[method]["p_holm"] = float(p_value)
  return tests


def _cutoff(calibration, comparison, alpha: float) -> dict[str, Any]:
  cut = roc.cutoff(calibration, alpha)
  above = None if cut is None else int((comparison > cut).sum())
  return {"cutoff": cut, "above": above, "of": comparison.size}


def power_of(
  design: permutation.Design,
  alpha: float,
  test: Mapping[str, Any] | None,
  permutations: int = 9_999,
) -> dict[str, Any]:
  """What an audit of this size can find, by the very test that it uses (`power`).

  Args:
    design: see `exchange`.
    alpha: level of the test.
    test: of the panel (`sets.SetTest`); None for a single suspect.
    permutations: of the test.

  Returns:
    `detectable`, the difference in standard deviations that is found with 80% power,
    None for none; `detectable_auc`, the AUC between normal scores so far apart;
    `at_estimate`, the power if the true effect were the estimated one (it restates the
    p-value, and says nothing new); `tracks_needed`, suspects for 80% power at 1% and
    that effect, None for no number, with `tracks_needed_ci` at both ends of the
    effect's 95% interval.
  """
  finite = lambda value: value if math.isfinite(value) else None
  effects = power.critical_effects(design, alpha, permutations)
  detectable = finite(power.detectable(effects))
  found = {
    "detectable": detectable,
    "detectable_auc": detectable and float(stats.norm.cdf(detectable / 2**0.5)),
    "at_estimate": None,
    "tracks_needed": None,
    "tracks_needed_ci": [None, None],
  }
  if test is None:
    return found
  return found | {
    "at_estimate": power.at(effects, test["effect"]),
    "tracks_needed": finite(test["tracks_needed"]),
    "tracks_needed_ci": [finite(end) for end in test["tracks_needed_ci"]],
  }
