"""Reads mutated inputs within limits and says what became of each; reads no flags."""

import collections
import json
import multiprocessing
import os
import pathlib
import re
import resource
import shutil
import tempfile

import jax
import numpy as np
from absl import logging
from tqdm import tqdm

from configs import mini
from lsaprobe_jax.data import audio
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.errors import ArgumentError, SettingError
from lsaprobe_jax.models import checkpoints, conversion
from lsaprobe_jax.models.files import torch_reader
from lsaprobe_jax.models.trained import load_model
from lsaprobe_jax.rows import RowError
from lsaprobe_jax.scoring import experiment_inputs, row_store, workdir
from lsaprobe_jax.scoring.settings import Experiment
from tests.stress import mutations, specimens

# Seconds of processor time for one input, and so many times that of wall time: a
# machine with other work is slow, and no hang.
SECONDS, PATIENCE = 20.0, 6
# Address space beyond what the process has at the start. array_record's 65 threads
# reserve 1.3 GiB of it, and it waits for ever where it cannot have them; CDPAM's
# weights take another while they are read.
BYTES = 3 << 30
# What a cut changes before itself: a window that overlaps, a reservoir of bits.
_LAST_FRAMES = 2 * 2048
_TICKS = os.sysconf("SC_CLK_TCK")


# What a reader may raise, by the kind of input; AudioError for all others.
_ERRORS = {
  "model": (checkpoints.CheckpointError,),
  "network": (checkpoints.CheckpointError,),
  "weights": (checkpoints.CheckpointError,),
  "pipeline": (checkpoints.CheckpointError,),
  # Its documented errors.
  "torch": (torch_reader.UnsafeCheckpointError, ValueError, KeyError),
  "config": (SettingError,),
  "rows": (RowError,),
  "workdir": (ArgumentError,),
}
# How a SettingError begins: the dotted name of a setting, and perhaps its value.
_SETTING = re.compile(r"[a-zA-Z_]\w*(\.\w+)*(=|: )")


def read(kind: str, path: pathlib.Path) -> str:
  """What became of an input: 'accepted', 'refused: ...' or 'unexplained: ...'."""
  try:
    valid = _read(kind, path)
  except Exception as error:
    if type(error) in _ERRORS.get(kind, (audio.AudioError,)) and _names(
      str(error), kind, path
    ):
      return f"refused: {type(error).__name__}"
    return f"unexplained: {type(error).__name__}: {str(error)[:300]}"
  return "accepted" if valid else "unexplained: a result that is not valid"


def _names(message: str, kind: str, path: pathlib.Path) -> bool:
  """Whether an error names the file or setting, in one line."""
  named = _SETTING.match(message) if kind == "config" else str(path) in message
  return bool(named) and "\n" not in message


def _read(kind: str, path: pathlib.Path) -> bool:
  """Whether what a reader makes of an input is valid; raises what the reader does."""
  return _READERS.get(kind, _read_sound)(path)


def _read_sound(path: pathlib.Path) -> bool:
  return _hears_only_the_file(path, path.parents[1] / "seeds")


def _read_manifest(path: pathlib.Path) -> bool:
  opened = corpora.open_corpus(path, sample_rate=16000, clip_seconds=0.5)
  return opened.audio.shape == (len(opened), 8000) and len(opened) > 0


def _read_records(path: pathlib.Path) -> bool:
  rate, seconds = specimens.RATE, specimens.RECORD_SECONDS
  opened = corpora.open_corpus(path, sample_rate=rate, clip_seconds=seconds)
  return bool(np.all(np.isfinite(opened.audio[:]))) and len(opened) > 0


def _read_model(path: pathlib.Path) -> bool:
  params, record = checkpoints.load_model(path)
  return isinstance(params, dict) and isinstance(record["model"], dict)


def _read_network(path: pathlib.Path) -> bool:
  loaded = load_model(path)
  return loaded.sample_rate > 0 and np.isfinite(loaded.model.scale)


def _read_rows(path: pathlib.Path) -> bool:
  rows = row_store.RowFile(path / specimens.ROWS).rows
  return all(row["score"] is None or np.isfinite(row["score"]) for row in rows)


def _read_workdir(path: pathlib.Path) -> bool:
  workdir.claim(path, specimens.IDENTITY)
  return True


def _read_config(path: pathlib.Path) -> bool:
  config = mini.get_config()
  as_flag = lambda value: tuple(value) if isinstance(value, list) else value
  changes = json.loads(path.read_text())
  config.update_from_flattened_dict({k: as_flag(v) for k, v in changes.items()})
  settings = Experiment.from_dict(config.to_dict())
  return bool(experiment_inputs.open_inputs(settings, limit=2).targets)


# By the kind of input; sound for all others.
_READERS = {
  "manifest": _read_manifest,
  "records": _read_records,
  "model": _read_model,
  "weights": _read_model,
  "network": _read_network,
  "pipeline": lambda path: _read_model(conversion.find_model(str(path))),
  "torch": lambda path: isinstance(torch_reader.read_state_dict(path), dict),
  "config": _read_config,
  "rows": _read_rows,
  "workdir": _read_workdir,
}


def _hears_only_the_file(path: pathlib.Path, seeds: pathlib.Path) -> bool:
  """Whether the samples are the file's own, whatever was decoded before.

  The file is decoded before and after other real files. Where it is the beginning of a
  real file, its samples must begin as that file's do, but for the last frames of a
  lossy format.
  """
  found = []
  for others in ((), ("mp3",), ("flac", "ogg")):
    for other in others:
      audio.decode(seeds / other)
    samples, rate = audio.decode(path)
    sound = samples.ndim == 1 and samples.size > 0 and rate > 0
    if not (sound and np.all(np.isfinite(samples))):
      return False
    found.append(samples)
  if not all(np.array_equal(found[0], again) for again in found[1:]):
    return False
  if path.stem != mutations.CUT:
    return True
  whole, _ = audio.decode(seeds / path.suffix[1:])
  lossy = path.suffix in (".ogg", ".mp3")
  same = max(found[0].size - (_LAST_FRAMES if lossy else 0), 0)
  return found[0].size <= whole.size and np.array_equal(found[0][:same], whole[:same])


def _serve(connection, cache: str) -> None:
  """Reads what it is told to, within limits, until it is killed."""
  logging.set_verbosity(logging.FATAL)
  conversion.CACHE = cache
  jax.devices()  # before memory is limited: it reserves a lot
  used = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
  most = used * resource.getpagesize() + BYTES
  resource.setrlimit(resource.RLIMIT_AS, (most, most))
  resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
  connection.send("ready")
  while True:
    connection.send(read(*connection.recv()))


class Reader:
  """A process that reads inputs, and a new one where one was lost."""

  def __init__(self):
    # What takes seconds to import is imported once, not by every new process.
    self._context = multiprocessing.get_context("forkserver")
    self._context.set_forkserver_preload(
      ["lsaprobe_jax.scoring.experiment_inputs", "tests.stress.specimens"]
    )
    # What is converted here is of no use to anyone.
    self._cache = tempfile.TemporaryDirectory(prefix="fuzz-models-")
    self._start()

  def _start(self) -> None:
    self._connection, other = self._context.Pipe()
    self._process = self._context.Process(
      target=_serve, args=(other, self._cache.name), daemon=True
    )
    self._process.start()
    other.close()
    self._connection.recv()  # once everything is imported

  def _used(self) -> float:
    """Seconds of processor time, as far as the process is there."""
    try:
      stat = pathlib.Path(f"/proc/{self._process.pid}/stat").read_text()
    except OSError:
      return 0.0
    return sum(map(int, stat.rpartition(")")[2].split()[11:13])) / _TICKS

  def close(self) -> None:
    """Ends the process."""
    self._process.kill()
    self._process.join()

  def __call__(self, kind: str, path: pathlib.Path) -> str:
    """See `read`; a crash or a hang is unexplained."""
    try:
      self._connection.send((kind, path))
      began = self._used()
      for _ in range(PATIENCE):
        if self._connection.poll(SECONDS):
          return self._connection.recv()
        if self._used() - began >= SECONDS:
          break
      said = f"unexplained: no answer within {SECONDS:g} s"
    except (EOFError, OSError):
      self._process.join()
      said = f"unexplained: crash, exit code {self._process.exitcode}"
    self.close()
    self._start()
    return said


def fuzz(folder: pathlib.Path, inputs: int, seed: int) -> collections.Counter:
  """Reads so many inputs; returns how often each (kind, outcome) came.

  Args:
    folder: for the inputs; unexplained ones stay there.
    inputs: how many, the kinds in turns.
    seed: of the mutations. Input i depends on (seed, i) alone.
  """
  seeds = folder / "seeds"
  seeds.mkdir(parents=True)
  specimens.make_seeds(seeds)
  outcomes, reader = collections.Counter(), Reader()
  try:
    for i in tqdm(range(inputs), unit="input"):
      kind = mutations.KINDS[i % len(mutations.KINDS)]
      own = folder / f"{i:06d}-{kind}"
      own.mkdir()
      path = mutations.write_input(seeds, own, kind, np.random.default_rng([seed, i]))
      said = reader(kind, path)
      if said.startswith("unexplained"):
        logging.error("%s: %s", path, said)
        (own / "outcome.txt").write_text(said)
        said = "unexplained"
      else:
        shutil.rmtree(own)
      outcomes[kind, said] += 1
  finally:
    reader.close()
  return outcomes


def table(outcomes: collections.Counter) -> str:
  """Outcomes by kind, as a table in Markdown."""
  names = sorted({name for _, name in outcomes})
  rows = [["kind", *names], ["---"] * (1 + len(names))]
  for kind in mutations.KINDS:
    rows.append([kind, *(str(outcomes[kind, name]) for name in names)])
  rows.append(
    ["all", *(str(sum(outcomes[k, name] for k in mutations.KINDS)) for name in names)]
  )
  return "\n".join(f"| {' | '.join(row)} |" for row in rows)
