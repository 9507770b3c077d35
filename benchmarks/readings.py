"""Reads rows of copies: raw, by reference and by twins; the tables of `copies`."""

from collections.abc import Iterable, Mapping, Sequence

from benchmarks import copying
from benchmarks.copying import AS_TRAINED, INVERTED
from lsaprobe_jax.metrics import difficulty, summary, tables
from lsaprobe_jax.metrics.pivot import groups
from lsaprobe_jax.rows import Row

TWINS, PHASES = ("polarity", "reversal"), ("phase_90", "phase_270")
# The copies that are also read by each twin alone.
READ_CLOSELY = (AS_TRAINED, INVERTED)
_RESAMPLES = 20
# An AUC less its twins that is near that of the clip as trained, and one that is far.
_NEAR, _FAR = 0.02, 0.1


def by_some(rows: Iterable[Row], names: Sequence[str]) -> list[Row]:
  """Rows that have only some of their twins."""
  made = []
  for row in rows:
    own = dict(zip(row["twins"].split(","), row["twin_scores"], strict=True))
    kept = [own[name] for name in names]
    made.append(row | {"twins": ",".join(names), "twin_scores": kept})
  return made


def two_sided(rows: Iterable[Row]) -> list[Row]:
  """Twin-calibrated rows by the size of the difference."""
  return [row | {"score": abs(row["score"])} for row in rows]


def either_polarity(rows: Iterable[Row]) -> list[Row]:
  """Rows of the better of clip and polarity twin, less the two quarter turns."""
  made = []
  for row in rows:
    own = dict(zip(row["twins"].split(","), row["twin_scores"], strict=True))
    made.append(row | {"score": max(row["score"], own["polarity"])})
  return difficulty.by_twins(by_some(made, PHASES))


def cross_over(rows: Sequence[Row]) -> dict:
  """The record of a cross-over mean, its interval clustered by track."""
  records = summary.summarise(rows, resamples=_RESAMPLES)
  return next(record for record in records if record["model"] == "mean")


def auc(rows: Sequence[Row]) -> str:
  """The AUC of a cross-over mean with its interval."""
  return tables.auc(cross_over(rows))


def forms(rows: Sequence[Row]) -> list[list[Row]]:
  """The rows of the table's columns: raw, by reference, by twins, by both."""
  both = by_some(rows, TWINS)
  calibrated = [way(both) for way in (difficulty.by_reference, difficulty.by_twins)]
  return [both, *calibrated, difficulty.by_both(both)]


def close_forms(rows: Sequence[Row]) -> list[list[Row]]:
  """The rows of the columns by each twin."""
  by = lambda *names: difficulty.by_twins(by_some(rows, names))
  polarity = by("polarity")
  columns = [polarity, two_sided(polarity), by("reversal"), by(*PHASES)]
  return [*columns, by("polarity", *PHASES), either_polarity(rows)]


def said(rows: Mapping[str, Sequence[Row]]) -> str:
  """What the rows by Loss say, by copy, in two sentences."""
  found = {n: [cross_over(c)["auc"] for c in forms(own)] for n, own in rows.items()}
  raw, by_reference, trained, _ = found[AS_TRAINED]
  by_twins = {name: aucs[2] for name, aucs in found.items() if name != AS_TRAINED}
  kept = [name for name, auc in by_twins.items() if auc >= trained - _NEAR]
  lost = [name for name, auc in by_twins.items() if auc < trained - _FAR]
  named = lambda names: "; ".join(f"{n} ({by_twins[n]:.3f})" for n in names) or "none"
  alone, size, _, turns, _, better = (
    f"({cross_over(column)['auc']:.3f})" for column in close_forms(rows[INVERTED])
  )
  return (
    f"By Loss, a clip as trained has an AUC of {trained:.3f} less its twins, {raw:.3f}"
    f" raw and {by_reference:.3f} less the reference model, and less its twins these"
    f" copies keep it to {_NEAR:g}: {named(kept)}; the farthest from it are:"
    f" {named([name for name in lost if name != INVERTED])}. A master of inverted"
    f" polarity turns round by the polarity twin {alone} and by the two quarter turns"
    f" {turns}, whereas the size of the polarity difference {size} and the better of"
    f" the two polarities less the quarter turns {better} hold."
  )


_SHOWN = {"loss": "Loss", "rediffuse": "ReDiffuse"}
_HEAD = ("copy", "raw", "by reference", "by twins", "by both")
_CLOSE_HEAD = (
  *("copy", "polarity", "polarity, size of the difference", "reversal"),
  *("+90 and -90 degrees", "polarity, +90 and -90", "better polarity less +90 and -90"),
)


_NOTES = """AUC of the cross-over mean of the embedded DiffWaves, t = 0.2 T, with a 95%
interval by track. The models are as they were trained, and the judged clip is changed;
Loss has 4 draws and ReDiffuse 10. Twins are polarity and reversal. MP3 and Ogg are of
mono at 44.1 kHz, of which the models hear 4 kHz; the frames of the MP3 files say {}
kbit/s. Clips were decoded, aligned by cross-correlation, and cut where the trained clip
was. LAME gives 128 and 64 kbit/s back 0.45 dB softer."""


def format_tables(rows: Sequence[Row]) -> str:
  """The whole of copies.md."""
  by_copy = groups(rows, "value")
  order = [name for name in copying.make_copies() if name in by_copy]
  rates = ", ".join(str(copying.bitrate(kilobits)) for kilobits in copying.MP3)
  loss = {n: [r for r in by_copy[n] if r["method"] == "loss"] for n in order}
  parts = ["# Other copies of the recording", said(loss), _NOTES.format(rates)]
  for method in _SHOWN:
    own = {n: [r for r in by_copy[n] if r["method"] == method] for n in order}
    for title, head, names, columns in (
      ("all copies", _HEAD, order, forms),
      ("by each twin", _CLOSE_HEAD, READ_CLOSELY, close_forms),
    ):
      cells = [[n, *map(auc, columns(own[n]))] for n in names if n in own]
      lines = "\n".join(tables.markdown([head, *cells]))
      parts += [f"## {_SHOWN[method]}, {title}", lines]
  return "\n\n".join(parts) + "\n"
