"""How often an audit finds evidence in tracks that are merely easier than others.

python -m launch.audit_shift [--study=results/mini] [--audits=200] [--shifts=0,0.4,0.8]

Scores nothing: reads stored rows of a study of the shipped music. No suspect was
trained on. Suspects are drawn so that they lie above the reference in one acoustic
feature, by so many standard deviations: the one that goes most with the Loss under a
model that saw none of them, so that it drives difficulty. Each draw is audited as
launch.audit does it, with the blind gate, without and with the reference model. Prints
the share of gates that held, and of audits that found evidence, with exact 95%
intervals.
"""

import dataclasses
import pathlib

import numpy as np
from absl import app, flags
from scipy import stats
from tqdm import tqdm

from configs import audit as settings
from launch import common
from lsaprobe_jax.attacks import blind
from lsaprobe_jax.audit import statistics, stored
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.metrics import likeness, pivot, study, tables
from lsaprobe_jax.scoring import experiment_inputs, factories

_STUDY = flags.DEFINE_string(
  "study",
  str(pathlib.Path(__file__).parents[1] / "results" / "mini"),
  "Folder of stored rows, with a reference model's.",
)
_AUDITS = flags.DEFINE_integer("audits", 200, "Of each kind.", lower_bound=1)
_SHIFTS = flags.DEFINE_list(
  "shifts",
  ["0", "0.4", "0.8", "1.2"],
  "By how many standard deviations of the feature suspects lie above the reference.",
)
_PERMUTATIONS = flags.DEFINE_integer("permutations", 999, "A p-value's.", 99)

_LEVEL = 0.05
_TRIALS = 400


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
  """Tracks that a model has not seen.

  Attributes:
    clips: their rows under the model (`stored.first_clips`).
    reference: the same under the reference model.
    features: [tracks, features] what is heard of each.
    feature: name of the one that goes most with difficulty.
    ease: [tracks] that feature, larger where the reference model's loss is lower, in
      standard deviations.
    correlation: rank correlation of `ease` with that model's Loss score.
  """

  clips: stored.Clips
  reference: stored.Clips
  features: np.ndarray
  feature: str
  ease: np.ndarray
  correlation: float


def pool_of(parts, model: str, methods) -> Pool:
  """The unseen tracks of a model in a study.

  Args:
    parts: see `study.read`.
    model: its name.
    methods: that every track must have.

  Raises:
    ValueError: no reference model scored the tracks, or they are not shipped.
  """
  rows = parts[study.MAIN] + parts.get(study.TUNE, [])
  unseen = [
    row
    for row in rows
    if row["model"] == model and row["split"] in ("nonmember", "dev")
  ]
  null = [row for row in rows if row["model"] == pivot.REFERENCE]
  clips, reference = (stored.first_clips(r, methods) for r in (unseen, null))
  tracks = [track for track in clips if track in reference]
  if not tracks:
    raise ValueError(f"no track that {model} has not seen was scored by a reference")
  clips, reference = ({t: found[t] for t in tracks} for found in (clips, reference))
  heard = _features([clips[track][factories.PROBE] for track in tracks])
  loss = [reference[track]["loss"]["score"] for track in tracks]
  correlations = np.array([stats.spearmanr(f, loss).statistic for f in heard.T])
  best = int(np.nanargmax(np.abs(correlations)))
  ease = heard[:, best] * np.sign(correlations[best])
  return Pool(
    clips=clips,
    reference=reference,
    features=heard,
    feature=blind.FEATURE_NAMES[best],
    ease=(ease - ease.mean()) / ease.std(),
    correlation=float(abs(correlations[best])),
  )


def _features(rows) -> np.ndarray:
  """What is heard of the clips of these rows, [rows, features]."""
  # An id ends in '+' and the clip's length in milliseconds.
  seconds = float(rows[0]["clip"].rpartition("+")[2]) / 1000
  rate = 8_000
  opened = corpora.open_corpus(
    rows[0]["corpus"], sample_rate=rate, clip_seconds=seconds
  )
  at = {clip.id: i for i, clip in enumerate(opened.clips)}
  if missing := [row["clip"] for row in rows if row["clip"] not in at]:
    raise ValueError(f"{len(missing)} clips are not shipped, such as {missing[0]}")
  return blind.features(opened.audio[[at[row["clip"]] for row in rows]], rate)


def draw_suspects(ease, count: int, slope: float, seed) -> np.ndarray:
  """Positions of suspects, drawn with weights exp(slope * ease)."""
  weights = np.exp(slope * (ease - ease.max()))
  rng = np.random.default_rng(seed)
  return rng.choice(ease.size, count, replace=False, p=weights / weights.sum())


def shift_of(ease, suspects) -> float:
  """By how much suspects lie above the others, in standard deviations of all."""
  rest = np.ones(ease.size, bool)
  rest[suspects] = False
  return float(ease[suspects].mean() - ease[rest].mean())


def slope_for(ease, count: int, shift: float) -> float:
  """The slope at which draws lie above the rest by `shift` on average.

  Raises:
    ValueError: not even the easiest tracks do.
  """
  mean = lambda slope: np.mean(
    [shift_of(ease, draw_suspects(ease, count, slope, i)) for i in range(_TRIALS)]
  )
  low, high = 0.0, 16.0
  if shift <= mean(low):
    return low
  if mean(high) < shift:
    raise ValueError(f"{count} suspects of {ease.size} tracks cannot be {shift} sd off")
  for _ in range(12):
    middle = (low + high) / 2
    low, high = (middle, high) if mean(middle) < shift else (low, middle)
  return high


def simulate(config, pool: Pool, count: int, shift: float, how) -> dict[str, object]:
  """Audits of `count` suspects that lie `shift` standard deviations off.

  Args:
    config: all settings.
    pool: tracks that the model has not seen.
    count: of suspects.
    shift: see `slope_for`.
    how: `audits`, `permutations`, `size` (`statistics.Size`).

  Returns:
    `shift` as drawn, `held`, and by `raw` and `less reference` the number of audits
    with evidence, and `... held` of those whose blind gate held.
  """
  tracks = list(pool.clips)
  slope = slope_for(pool.ease, count, shift)
  made = {"shift": 0.0, "held": 0}
  made |= {f"{name}{held}": 0 for name in ("raw", "less") for held in ("", " held")}
  for draw in tqdm(range(how["audits"]), desc=f"shift {shift:g}", leave=False):
    drawn = draw_suspects(pool.ease, count, slope, (config.seed, draw))
    suspects = [tracks[i] for i in drawn]
    others = [track for track in tracks if track not in suspects]
    calibration, comparison = statistics.split_reference(others, how["size"], draw)
    parts = {
      "suspects": suspects,
      "comparison": comparison,
      "calibration": calibration,
    }
    order = [tracks.index(track) for track in (*suspects, *others)]
    heard = likeness.compare(
      statistics.exchange(suspects, others),
      pool.features[order],
      blind.FEATURE_NAMES,
      permutations=how["permutations"],
      seed=draw,
    )
    held = heard.p_value > _LEVEL
    made["held"] += held
    made["shift"] += shift_of(pool.ease, drawn) / how["audits"]
    for name, reference in (("raw", None), ("less", pool.reference)):
      scores = stored.scores_of(config, pool.clips, parts, reference)
      found = stored.judge(config, scores, how["permutations"], draw)
      made[name] += found["evidence"]
      made[f"{name} held"] += found["evidence"] and held
  return made


def main(argv):
  """Simulates and prints."""
  if argv[1:]:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
  config = settings.get_config()
  size = statistics.smallest_reference(
    config.alpha, 1, experiment_inputs.MIN_DEVELOPMENT_CLIPS
  )
  how = dict(audits=_AUDITS.value, permutations=_PERMUTATIONS.value, size=size)
  lines = [
    [
      *("model", "suspects", "shift, sd", "gate held", "evidence", "with the gate"),
      *("less a reference", "with the gate"),
    ]
  ]
  try:
    shifts = [float(text) for text in _SHIFTS.value]
    if not all(0 <= shift < 10 for shift in shifts):
      raise ValueError("--shifts are numbers from 0 to 10")
    parts = study.read(pathlib.Path(_STUDY.value))
    pools = {name: pool_of(parts, name, config.methods) for name in ("A", "B")}
    for name, pool in pools.items():
      count = len(pool.clips) - size.total
      if count < 1:
        raise ValueError(f"{len(pool.clips)} unseen tracks, {size.total} needed")
      for shift in shifts:
        made = simulate(config, pool, count, shift, how)
        cells = [name, str(count), f"{made['shift']:.2f}"]
        cells += [tables.share(made["held"], how["audits"])]
        for kind in ("raw", "less"):
          cells += [tables.share(made[kind], how["audits"])]
          held = made["held"]
          cells += [tables.share(made[f"{kind} held"], held) if held else "-"]
        lines.append(cells)
  except ValueError as error:
    raise app.UsageError(f"--study={_STUDY.value}: {error}") from error
  print("\n".join(tables.align(lines)))
  for name, pool in pools.items():
    print(
      f"{name}: {len(pool.clips)} unseen tracks; shifted by {pool.feature}, whose rank"
      f" correlation with the reference model's Loss is {pool.correlation:.2f}"
    )
  print(
    f"{how['audits']} audits a line at {config.alpha:g}, none of tracks that were"
    " trained on: all evidence is false. 'With the gate': of the audits whose blind"
    " gate held"
  )


if __name__ == "__main__":
  common.run(main)
