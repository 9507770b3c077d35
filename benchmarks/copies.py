"""Do other copies of a recording keep the signal of the copy that was trained on?

python -m benchmarks.copies

Auditors rarely hold the very samples that a model was trained on. Here the judged clips
are changed and the models stay: the embedded models of the corpus multigenre, all clips
of both halves, Loss and ReDiffuse, raw, less the reference model, less the clip's twins
(polarity and reversal), and less both. Rows go to WORKDIR/COPY/rows.jsonl as they come,
and the same command continues a run that was cut off; they are packed to
OUTPUT/copies.jsonl.gz with the copy under `value`, and OUTPUT/copies.md has the tables.
--tables makes these again of the packed rows. It needs librosa (the extra `audio`).
About 16 minutes on one CPU core that does nothing else.
"""

import dataclasses
import gzip
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import flags
from tqdm import tqdm

from benchmarks import copying
from benchmarks.copying import RATE, Copy
from benchmarks.readings import PHASES, READ_CLOSELY, TWINS, format_tables
from launch import command, devices
from lsaprobe_jax import attacks
from lsaprobe_jax.attacks.twinned import Twinned
from lsaprobe_jax.data import splits
from lsaprobe_jax.data.audio import resample
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.data.corpus import load_audio, recordings
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.metrics import study
from lsaprobe_jax.rows import Row, parse_rows
from lsaprobe_jax.scoring.row_store import RowFile
from lsaprobe_jax.scoring.scorer import Scorer
from lsaprobe_jax.scoring.targets import load_targets

_WORKDIR = flags.DEFINE_string("workdir", "runs/twins/copies", "Rows as they come.")
_OUTPUT = flags.DEFINE_string("output", "results/twins", "Packed rows and tables.")
_LIMIT = flags.DEFINE_integer("limit", None, "At most so many clips of each half.", 2)
_TABLES = flags.DEFINE_bool("tables", False, "Only the tables, of packed rows.")

CORPUS = "multigenre"
TARGETS = {"A": "a", "B": "b", "reference": "reference"}
METHODS = {"loss": {"draws": 4}, "rediffuse": {"draws": 10}}
_T_RATIO, _SEED, _BATCH = 0.2, 0, 4
_SEGMENT = 4 * RATE


def copied(corpus: Corpus, excerpts: Mapping[str, np.ndarray], copy: Copy) -> Corpus:
  """The corpus with its clips, each the first of its excerpt, in another copy."""
  audio = [
    resample(np.ascontiguousarray(copy(excerpts[c.track]), np.float32), RATE, rate)
    for c, rate in ((clip, corpus.sample_rate) for clip in corpus.clips)
  ]
  length = corpus.audio.shape[1]
  return dataclasses.replace(corpus, audio=np.stack([x[:length] for x in audio]))


def score_copies(workdir: pathlib.Path, limit: int | None) -> list[dict[str, Any]]:
  """Rows of all copies, each with its copy as `value`."""
  models = {name: f"diffwave-{CORPUS}-{group}" for name, group in TARGETS.items()}
  targets = load_targets(models)
  corpus = load_audio(CORPUS, like=targets[0], clips_per_track=1, groups=("a", "b"))
  if limit:
    corpus = corpus.take(splits.keep(corpus.clips, "all", limit))
  targets = [target.for_length(corpus.audio.shape[1]) for target in targets]
  read = recordings(CORPUS)
  excerpts = {track: read[track]().samples[:_SEGMENT] for track in corpus.tracks}
  copies = copying.make_copies()
  changed = {name: copied(corpus, excerpts, copy) for name, copy in copies.items()}
  scorer, rows = Scorer(_SEED, _BATCH), []
  cells = [(method, name) for method in METHODS for name in copies]
  for method, name in tqdm(cells, unit="copy", desc="copies"):
    store = RowFile(workdir / name.replace(" ", "_").replace("/", "_") / "rows.jsonl")
    with_twins = TWINS + (PHASES if name in READ_CLOSELY else ())
    attack = Twinned.by_names(attacks.get(method, **METHODS[method]), with_twins)
    for target in targets:
      how = {"method": method, "t_ratio": _T_RATIO}
      found = scorer(store, attack, target, changed[name], **how)
      rows += [rounded(row) | {"value": name} for row in found]
  return rows


def rounded(row: Row) -> Row:
  """A row whose scores have six digits."""
  digits = lambda x: float(f"{x:.6g}")
  twin_scores = [digits(score) for score in row["twin_scores"]]
  return row | {"score": digits(row["score"]), "twin_scores": twin_scores}


def main(argv):
  """Scores what is not there yet, packs the rows and writes the tables."""
  command.refuse_arguments(argv)
  devices.use_all()
  workdir, output = pathlib.Path(_WORKDIR.value), pathlib.Path(_OUTPUT.value)
  packed = output / "copies.jsonl.gz"
  with command.ending_in_one_line(f"the rows in {workdir}"):
    if not _TABLES.value:
      rows = score_copies(workdir, _LIMIT.value)
      output.mkdir(parents=True, exist_ok=True)
      write_whole(packed, study.pack(rows))
    data = gzip.decompress(packed.read_bytes())
    rows = parse_rows(packed, data, more=("value",)).values()
    text = format_tables(list(rows))
    write_whole(output / "copies.md", text)
  print(text)


if __name__ == "__main__":
  command.run(main)
