"""Does the test of membership by twins keep its level on music that a model never saw?

python -m benchmarks.twin_level [--quick]

Without reference music the test takes a clip and its twin for exchangeable where there
was no training. Here every embedded model scores clips and twins of tracks it has not
seen, in two strata, and of those it was trained on, for power:

  strangers    other corpora, which share no package with what the model trained on
  album-mates  the model's own corpus, from whose packages it was trained
  trained      the clips that it was trained on

The table has the lean of the differences in standard deviations of tracks, p-values of
the whole stratum, and the rejections at 5% over audits of ten tracks. Rows go to
WORKDIR/rows.jsonl as they come, and the same command continues a run that was cut off;
they are packed to OUTPUT/level.jsonl.gz, and OUTPUT/level.md has the tables. --tables
makes these again of the packed rows. The corpus of --extra is built as docs/datasets.md
says. About 20 minutes on one CPU core, --quick two.
"""

import dataclasses
import gzip
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags
from tqdm import tqdm

from benchmarks import level
from benchmarks.level import METHODS, STRATA, TWINS
from launch import command, devices
from lsaprobe_jax import attacks
from lsaprobe_jax.attacks.twinned import Twinned
from lsaprobe_jax.data import albums
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.data.corpus import load_audio
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.metrics import study
from lsaprobe_jax.models.trained import TrainedModel, load_model
from lsaprobe_jax.rows import Row, parse_rows
from lsaprobe_jax.scoring.row_store import RowFile, RowStore
from lsaprobe_jax.scoring.scorer import Scorer

_WORKDIR = flags.DEFINE_string("workdir", "runs/twins/level", "Rows as they come.")
_OUTPUT = flags.DEFINE_string("output", "results/twins", "Packed rows and tables.")
_EXTRA = flags.DEFINE_string("extra", "runs/corpora/extra", "A corpus of strangers.")
_QUICK = flags.DEFINE_bool(
  "quick", False, "Two models, Loss, few tracks, to WORKDIR/quick."
)
_TABLES = flags.DEFINE_bool("tables", False, "Only the tables, of packed rows.")

_DRAWS, _T_RATIO, _SEED, _CLIPS, _BATCH = 4, 0.2, 0, 2, 4
_QUICK_MODELS, _QUICK_TRACKS = ("diffwave-multigenre-a", "musicldm-multigenre-a"), 14
_QUICK_METHODS = {"diffwave": ("loss",), "musicldm": ("loss",)}


def clips_for(target: TrainedModel, path: str, most_tracks: int | None) -> Corpus:
  """The clips of a corpus that a model scores: those it was trained on, and others.

  Of its own group, clips that it was not trained on are neither and left out.
  """
  corpus = load_audio(path, like=target)
  members = set(target.members or ())
  seen = [i for i, c in enumerate(corpus.clips) if c.id in members]
  rest = corpus.take(
    i
    for i, clip in enumerate(corpus.clips)
    if clip.id not in members and clip.group != target.group
  )
  kept = {corpus.clips[i].id for i in seen}
  kept |= {clip.id for clip in rest.per_track(_CLIPS).clips}
  tracks = set(corpus.tracks[:most_tracks])
  return corpus.take(
    i for i, c in enumerate(corpus.clips) if c.id in kept and c.track in tracks
  )


def score(
  store: RowStore,
  names: Sequence[str],
  paths: Sequence[str],
  methods: Mapping[str, Sequence[str]] = METHODS,
  most_tracks: int | None = None,
) -> None:
  """Scores the clips of all corpora and their twins under all models."""
  scorers = {family: Scorer(_SEED, _BATCH) for family in TWINS}
  for name in tqdm(names, unit="model", desc="models"):
    family, own, _ = name.split("-")
    target = load_model(name)
    for path in paths:
      # Groups of another corpus are not those that the model was trained on.
      known = {} if path == own else {"group": None, "members": {}}
      seen = dataclasses.replace(target, **known)
      corpus = clips_for(seen, path, most_tracks)
      fitted = seen.for_length(corpus.audio.shape[1])
      for method in methods[family]:
        attack = Twinned.by_names(attacks.get(method, draws=_DRAWS), TWINS[family])
        named = {"method": method, "t_ratio": _T_RATIO}
        scorers[family](store, attack, fitted, corpus, **named)


def described(rows: Sequence[Row], paths: Sequence[str]) -> list[dict[str, Any]]:
  """Rows with their album and their stratum, and scores to six digits."""
  found = {pathlib.Path(path).name: albums.of_tracks(path) for path in paths}
  digits = lambda x: float(f"{x:.6g}")
  made = []
  for row in rows:
    own = row["corpus"] == row["model"].split("-")[1]
    stratum = STRATA[2 if row["split"] == "member" else int(own)]
    made.append(
      row
      | {"stratum": stratum, "album": found[row["corpus"]][row["track"]]}
      | {"score": digits(row["score"])}
      | {"twin_scores": [digits(score) for score in row["twin_scores"]]}
    )
  return made


def main(argv):
  """Scores what is not there yet, packs the rows and writes the tables."""
  command.refuse_arguments(argv)
  devices.use_all()
  workdir, output = pathlib.Path(_WORKDIR.value), pathlib.Path(_OUTPUT.value)
  # What is stored is of all models.
  output = workdir / "quick" if _QUICK.value else output
  packed = output / "level.jsonl.gz"
  with command.ending_in_one_line(f"the rows in {workdir}"):
    if not _TABLES.value:
      # Not `dose`, which has the same recordings under other names.
      paths = ("multigenre", "piano", _EXTRA.value)
      store = RowFile(workdir / "rows.jsonl")
      few = {"methods": _QUICK_METHODS, "most_tracks": _QUICK_TRACKS}
      names = _QUICK_MODELS if _QUICK.value else level.MODELS
      score(store, names, paths, **(few if _QUICK.value else {}))
      output.mkdir(parents=True, exist_ok=True)
      write_whole(packed, study.pack(described(store.asked, paths)))
    rows = parse_rows(packed, gzip.decompress(packed.read_bytes())).values()
    text = level.format_tables(level.records_of(list(rows)))
    write_whole(output / "level.md", text)
  print(text.partition("\n## ")[0])


if __name__ == "__main__":
  command.run(main)
