"""Two sorts of tracks at a time, by dose: what `strangers` prints."""

from lsaprobe_jax.metrics import dose, study

SIDES = {
  "album-mates against strangers": ("nonmember", "stranger"),
  "trained against strangers": ("member", "stranger"),
  "trained against album-mates": ("member", "nonmember"),
}


def compared(rows):
  """AUCs of each two sorts of tracks, by method, calibration and dose.

  Args:
    rows: of all doses, with `value` and the models A, B and reference; `split` is
      `member`, `nonmember` or `stranger`.

  Returns:
    By the name of the two sorts, records as of `metrics.dose.controls`.
  """
  rows = [row for own in study.with_reference(rows).values() for row in own]
  found = {}
  for sides, (high, low) in SIDES.items():
    # As the control of two sorts of unseen tracks has them, in one corpus.
    split = {high: "nonmember", low: "dev"}
    own = [
      dict(row, split=split[row["split"]], corpus="")
      for row in rows
      if row["split"] in split
    ]
    found[sides] = dose.controls(own)
  return found
