r"""Does a score tell training music, or music that is like it? By dose.

  python -m launch.corpus --corpus=dose --segments_per_track=16 \
    --output=runs/corpora/dose --downloads=/tmp/packages
  python -m launch.corpus --corpus=dose-piano --output=runs/corpora/dose-piano \
    --downloads=/tmp/packages
  python -m benchmarks.strangers --family=musicldm --embedded --workdir=runs/strangers \
    --output=benchmarks/strangers.md

--embedded takes the package's models, at the doses of configs/dose.py, and without it
those of configs/train_dose.py, which have to be trained, at all doses.

Under the fine-tunes of configs/train_dose.py three sorts of tracks are scored: those
that the model was trained on, tracks of the other half, which are of the same packages
(album-mates), and chorales played on a piano, which nobody trained on (strangers).
Whoever compares suspects with strangers is told of likeness too: the AUC of album-mates
against strangers is how much of it there is. Less the score under the base model, which
trained on neither, what is easy about either is taken off.

Settings are those of configs/dose_settings.json. Rows are kept in --workdir, and the
same command goes on from them.
"""

import pathlib
import shlex
import sys

from absl import flags

import lsaprobe_jax as lsa
from benchmarks import stranger_tables
from configs import dose, sweep_dose, train_dose
from launch import command, devices
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.data import splits
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.report import doses

_HEAD = """# Training music, or music that is like it?

Each two of three sorts of tracks are told apart, by dose: those that a fine-tune was
trained on, tracks of the other half (album-mates), and chorales played on a piano
(strangers). Intervals are by track. The first table is likeness alone."""
METHODS = ("loss", "path_error", "sima", "rediffuse")
_TWINS = ("reversal",)

_FAMILY = flags.DEFINE_enum("family", None, train_dose.FAMILIES, "Which models.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for rows.")
_EMBEDDED = flags.DEFINE_bool("embedded", False, "Take the package's own models.")
_OUTPUT = flags.DEFINE_string("output", None, "The tables as a page, a Markdown file.")
_STRANGERS = flags.DEFINE_integer("strangers", 60, "How many chorales.", 2, 1000)


def main(argv):
  """Scores what is missing, and prints a table for each two sorts of tracks."""
  command.refuse_arguments(argv)
  devices.use_all()
  family = _FAMILY.value
  baselines = sweep_dose.settings(family)["baselines"]
  passed, targets = train_dose.doses(family), train_dose.targets
  if _EMBEDDED.value:
    if family not in dose.DOSES:
      known = " or ".join(dose.DOSES)
      raise ArgumentError(f"embedded: of {family} no doses are; give --family={known}")
    passed, targets = dose.DOSES[family], sweep_dose.embedded
  rows = [
    dict(row, model=name, value=passes)
    for method in METHODS
    for passes in passed
    for name, source in targets(family, passes).items()
    for row in _rows(method, baselines[method], name, source, passes)
  ]
  tables = [
    doses.markdown_controls(records).replace("other half against development", sides, 1)
    for sides, records in stranger_tables.compared(rows).items()
  ]
  print("\n\n".join(tables))
  if _OUTPUT.value:
    made_by = shlex.join(["python", "-m", "benchmarks.strangers", *sys.argv[1:]])
    page = [_HEAD, f"`{made_by}`", f"AUCs by passes, {_STRANGERS.value} strangers."]
    write_whole(pathlib.Path(_OUTPUT.value), "\n\n".join([*page, *tables]) + "\n")


def _rows(method, settings, name, source, passes):
  """Rows of all three sorts under one model, from its file where they are there."""
  trained = lsa.load_model(source, name=name)
  own = {key: value for key, value in settings.items() if key != "t_ratio"}
  attack = lsa.attacks.get(method, **own)
  folder = pathlib.Path(_WORKDIR.value) / _FAMILY.value
  folder.mkdir(parents=True, exist_ok=True)
  # The base is the same at every dose.
  label = name if name == "reference" else f"{name}-{passes:03d}"
  for kind, clips, members in _clips(trained):
    path = folder / f"{method}-{label}-{kind}.jsonl"
    print(path, file=sys.stderr)
    scored = lsa.score(
      trained, attack, clips, t_ratio=settings["t_ratio"], twins=_TWINS,
      members=members, path=path,
    )  # fmt: skip
    changed = {"split": "stranger"} if kind == "strangers" else {}
    yield from (row | changed for row in scored.rows)


def _clips(trained):
  """Halves as the model's record has them, and chorales that it has not seen."""
  wanted = dict(
    sample_rate=trained.sample_rate, clip_seconds=train_dose.CLIP_SECONDS,
    clips_per_track=1, groups=("a", "b"),
  )  # fmt: skip
  halves = corpora.open_corpus(train_dose.CORPORA["multigenre"], **wanted)
  yield "halves", halves.take(splits.keep(halves.clips, "test", None)), None
  chorales = corpora.open_corpus(train_dose.CORPORA["piano"], **wanted)
  yield "strangers", chorales.take(range(_STRANGERS.value)), []


if __name__ == "__main__":
  flags.mark_flags_as_required(["family", "workdir"])
  command.run(main)
