"""How often an audit finds evidence where there is none, and where there is some.

python -m launch.audit_null [--study=results/mini] [--audits=200]

Scores nothing: reads stored rows of a study. Tracks that a model has not seen are dealt
at random to suspects and reference, time and again, and each deal is audited as
launch.audit does it, tau and panel calibrated anew; so are test tracks that it was
trained on, against all unseen ones. Prints the share of audits that end with evidence,
with its exact 95% interval, beside the rejections at the level that a binomial law
allows.

All tracks of a deal come from one pool, so that this shows whether the arithmetic keeps
its level, and nothing of audits whose suspects are other music than their reference:
that is launch.audit_shift.
"""

import pathlib

import numpy as np
from absl import app, flags
from scipy import stats

from configs import audit as settings
from launch import common
from lsaprobe_jax.audit import statistics, stored
from lsaprobe_jax.metrics import study, tables
from lsaprobe_jax.scoring import experiment_inputs

_STUDY = flags.DEFINE_string(
  "study",
  str(pathlib.Path(__file__).parents[1] / "results" / "mini"),
  "Folder of stored rows.",
)
_AUDITS = flags.DEFINE_integer("audits", 200, "Of each kind.", lower_bound=1)
_SUSPECTS = flags.DEFINE_list(
  "suspects", ["5", "10", "20"], "Numbers of trained tracks to find evidence in."
)
_PERMUTATIONS = flags.DEFINE_integer("permutations", 999, "A p-value's.", 99)


def repeat(config, clips, suspects: list[str], unseen: list[str], count: int, **how):
  """Audits with `count` random suspects each, of those that are no reference.

  Args:
    config: all settings.
    clips: see `stored.first_clips`.
    suspects: tracks to draw from; those drawn leave `unseen`.
    unseen: tracks that the model has not seen.
    count: see above.
    **how: `audits`, `permutations`, `size` (`statistics.Size`).

  Returns:
    (audits that found evidence, suspects above the level, of how many).
  """
  evidence = flagged = 0
  for draw in range(how["audits"]):
    rng = np.random.default_rng((config.seed, draw))
    drawn = rng.choice(suspects, count, replace=False).tolist()
    reference = [track for track in unseen if track not in drawn]
    calibration, comparison = statistics.split_reference(reference, how["size"], draw)
    parts = {"suspects": drawn, "comparison": comparison, "calibration": calibration}
    scores = stored.scores_of(config, clips, parts)
    found = stored.judge(config, scores, how["permutations"], draw)
    evidence += found["evidence"]
    flagged += found["flagged"]
  return evidence, flagged, count * how["audits"]


def main(argv):
  """Audits and prints."""
  if argv[1:]:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
  config = settings.get_config()
  try:
    parts = study.read(pathlib.Path(_STUDY.value))
    counts = [int(number) for number in _SUSPECTS.value]
  except ValueError as error:
    raise app.UsageError(f"--study={_STUDY.value}: {error}") from error
  size = statistics.smallest_reference(
    config.alpha, 1, experiment_inputs.MIN_DEVELOPMENT_CLIPS
  )
  how = dict(audits=_AUDITS.value, permutations=_PERMUTATIONS.value, size=size)
  rows = parts[study.MAIN] + parts.get(study.TUNE, [])
  lines = [["model", "suspects", "reference", "audits with evidence", "tracks above"]]
  for model in ("A", "B"):
    own = [row for row in rows if row["model"] == model]
    unseen_rows = [row for row in own if row["split"] in ("nonmember", "dev")]
    trained = [r for r in parts[study.MAIN] if r["model"] == model]
    clips = stored.first_clips(unseen_rows, config.methods)
    members = stored.first_clips(
      [row for row in trained if row["split"] == "member"], config.methods
    )
    unseen = list(clips)
    spare = len(unseen) - size.total
    if spare < 1:
      raise app.UsageError(f"--study: {len(unseen)} unseen tracks, {size.total} needed")
    kinds = [("unseen", unseen, spare)]
    kinds += [("trained on", list(members), n) for n in counts if n <= len(members)]
    for kind, tracks, count in kinds:
      evidence, flagged, of = repeat(
        config, clips | members, tracks, unseen, count, **how
      )
      reference = len(unseen) - (count if kind == "unseen" else 0)
      lines.append(
        [
          *(model, f"{count} {kind}", str(reference)),
          *(tables.share(evidence, how["audits"]), tables.share(flagged, of)),
        ]
      )
  law = stats.binom(how["audits"], config.alpha)
  print("\n".join(tables.align(lines)))
  print(
    f"{how['audits']} audits a line at {config.alpha:g}; without training between"
    f" {law.ppf(0.025):.0f} and {law.ppf(0.975):.0f} of them are expected to end with"
    " evidence, in 95 of 100 such lines"
  )


if __name__ == "__main__":
  common.run(main)
