"""Feeds mutated files to every reader and says what became of each.

python -m launch.fuzz --inputs=10000 [--seed=0] [--workdir=DIR]

Real files (wav, flac, ogg, mp3, aiff, a built corpus's manifest, a model folder, a
PyTorch checkpoint) are mutated: bits flipped, bytes overwritten with extremes, cut
short, spliced, emptied, replaced by noise or by a file of another kind. A process with
limits on memory and time reads each. It must come back with a valid result, or with one
of this project's errors, in one line that names the file; anything else (another
exception, a crash, a hang, memory) is unexplained, is kept, and makes this end with 1.

About three and a half minutes for 10,800 inputs on one CPU core with other work.
"""

import collections
import io
import json
import multiprocessing
import pathlib
import pickle
import resource
import shutil
import sys
import tempfile
import types
import zipfile

import numpy as np
import soundfile
from absl import app, flags, logging
from tqdm import tqdm

from lsaprobe_jax import checkpoints, torch_reader
from lsaprobe_jax.data import audio, vorbis
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.data import manifest as manifests

_INPUTS = flags.DEFINE_integer("inputs", 10_000, "How many.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of the mutations.")
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Unexplained inputs are kept here (default: a temporary folder)."
)

SECONDS = 20.0  # of wall time and of CPU time for one input
BYTES = 1 << 30  # of address space beyond what the process has at the start
_SOUND = ("wav", "flac", "ogg", "mp3", "aiff")
KINDS = (*_SOUND, "manifest", "model", "weights", "torch")
_EXTREMES = (
  b"\x00" * 4,
  b"\xff" * 4,
  b"\x7f\xff\xff\xff",
  b"\xff\xff\xff\x7f",
  b"\x80",
)
_JSON = (
  "null",
  "-1",
  "1e999",
  "1e308",
  '""',
  "[]",
  "{}",
  "true",
  "99999999999999999999",
)


def make_seeds(folder: pathlib.Path) -> None:
  """Writes a file or folder of each kind, from a second of real music."""
  clips = corpora.open_corpus(
    "multigenre", sample_rate=16000, clip_seconds=1.0, clips_per_track=1, groups=["dev"]
  )
  music = clips.audio[0]
  for suffix in _SOUND:
    soundfile.write(folder / suffix, music, 16000, format=suffix.upper())
  (folder / "manifest").mkdir()
  vorbis.write(folder / "manifest" / "x.ogg", music, 16000, serial=1)
  track = manifests.Track(
    id="x", title="t", author="a", package="p", path="x", licence="CC0", group="a",
    duplicates="x", file="x.ogg", changes="none",
    sha256=manifests.sha256(folder / "manifest" / "x.ogg"),
    segments=(manifests.Segment(start_seconds=1.0, seconds=1.0),),
  )  # fmt: skip
  made = manifests.Manifest(
    corpus="fuzz", sample_rate=16000, segment_seconds=1.0, recipe={}, tracks=(track,)
  )
  manifests.write(folder / "manifest", made)
  params = {"layer": {"kernel": np.ones((3, 4), np.float32), "bias": np.zeros(4)}}
  checkpoints.save_model(folder / "model", params, {"family": "x"}, {"clips": []})
  shutil.copytree(folder / "model", folder / "weights")
  (folder / "torch").write_bytes(_torch_file())


def _torch_file() -> bytes:
  """What torch.save writes for a state dict, without PyTorch."""
  names = {"torch": "FloatStorage", "torch._utils": "_rebuild_tensor_v2"}
  for module, name in names.items():
    sys.modules[module] = types.ModuleType(module)
    stand_in = type(name, (), {"__module__": module})
    setattr(sys.modules[module], name, stand_in)

  class Storage:
    pass

  class Tensor:
    def __reduce__(self):
      rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
      return rebuild, (Storage(), 0, (3, 4), (4, 1), False, collections.OrderedDict())

  class Pickler(pickle.Pickler):
    def persistent_id(self, value):
      if isinstance(value, Storage):
        return "storage", sys.modules["torch"].FloatStorage, "0", "cpu", 12
      return None

  data = io.BytesIO()
  try:
    Pickler(data, protocol=2).dump({"model": {"weight": Tensor()}, "step": 3})
  finally:
    for module in names:
      del sys.modules[module]
  archive = io.BytesIO()
  with zipfile.ZipFile(archive, "w") as file:
    file.writestr("archive/data.pkl", data.getvalue())
    file.writestr("archive/byteorder", "little")
    file.writestr("archive/data/0", np.arange(12, dtype="<f4").tobytes())
  return archive.getvalue()


def mutate(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
  """One to four changes to a file's bytes, half of them within its first 128."""
  data = bytearray(data)
  if data[:1] == b"{" and rng.random() < 0.6:
    return _mutate_json(bytes(data), rng)
  for _ in range(rng.integers(1, 5)):
    near = len(data) if rng.random() < 0.5 else min(len(data), 128)
    at = int(rng.integers(0, max(near, 1)))
    match rng.integers(0, 8):
      case 0 | 1:
        if data:
          data[at] ^= 1 << int(rng.integers(0, 8))
      case 2 | 3:
        value = _EXTREMES[rng.integers(0, len(_EXTREMES))]
        data[at : at + len(value)] = value
      case 4:
        del data[at:]
      case 5:
        other = others[rng.integers(0, len(others))]
        cut = int(rng.integers(0, len(other)))
        data[at:] = other[cut : cut + len(data)]
      case 6:
        data[at : at + 64] = rng.bytes(64)
      case 7:
        if rng.random() < 0.1:
          return b"" if rng.random() < 0.5 else rng.bytes(2000)
        data[at:at] = data[at : at + int(rng.integers(1, 64))]
  return bytes(data)


def _mutate_json(data: bytes, rng: np.random.Generator) -> bytes:
  """Another value in the place of one, or a key that is gone: valid JSON still."""
  tree = json.loads(data)
  node = tree
  while True:
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    key = keys[rng.integers(0, len(keys))]
    below = node[key]
    if not isinstance(below, dict | list) or not below or rng.random() < 0.2:
      break
    node = below
  if rng.random() < 0.2:
    del node[key]
  else:
    node[key] = json.loads(_JSON[rng.integers(0, len(_JSON))])
  return json.dumps(tree).encode()


def write_input(
  seeds: pathlib.Path, folder: pathlib.Path, kind: str, rng
) -> pathlib.Path:
  """Writes a mutated file, or folder with one, and returns what is to be read."""
  files = [path for path in sorted(seeds.rglob("*")) if path.is_file()]
  others = [path.read_bytes() for path in files]
  if kind in _SOUND or kind == "torch":
    path = folder / f"input.{kind}"
    path.write_bytes(mutate((seeds / kind).read_bytes(), others, rng))
    return path
  path = shutil.copytree(seeds / kind, folder / kind, dirs_exist_ok=True)
  name = {"manifest": manifests.FILENAME, "model": checkpoints.MODEL_FILE}
  file = path / name.get(kind, checkpoints.WEIGHTS_FILE)
  file.write_bytes(mutate(file.read_bytes(), others, rng))
  if kind == "weights":
    # A hash that fits, or nothing behind that check would ever be reached.
    record = json.loads((path / checkpoints.MODEL_FILE).read_text())
    record["weights_sha256"] = manifests.sha256(file)
    (path / checkpoints.MODEL_FILE).write_text(json.dumps(record))
  return path


def read(kind: str, path: pathlib.Path) -> str:
  """What became of an input: 'accepted', 'refused: ...' or 'unexplained: ...'."""
  errors = {
    "model": (checkpoints.CheckpointError,),
    "weights": (checkpoints.CheckpointError,),
    # Its documented errors.
    "torch": (torch_reader.UnsafeCheckpointError, ValueError, KeyError),
  }.get(kind, (audio.AudioError,))
  try:
    valid = _read(kind, path)
  except Exception as error:
    message = str(error)
    if type(error) in errors and str(path) in message and "\n" not in message:
      return f"refused: {type(error).__name__}"
    return f"unexplained: {type(error).__name__}: {message[:300]}"
  return "accepted" if valid else "unexplained: a result that is not valid"


def _read(kind: str, path: pathlib.Path) -> bool:
  if kind in _SOUND:
    samples, rate = audio.decode(path)
    finite = bool(np.all(np.isfinite(samples)))
    return samples.ndim == 1 and samples.size > 0 and finite and rate > 0
  if kind == "manifest":
    opened = corpora.open_corpus(path, sample_rate=16000, clip_seconds=0.5)
    return opened.audio.shape == (len(opened), 8000) and len(opened) > 0
  if kind == "torch":
    return isinstance(torch_reader.read_state_dict(path), dict)
  params, record = checkpoints.load_model(path)
  return isinstance(params, dict) and isinstance(record["model"], dict)


def _serve(connection) -> None:
  """Reads what it is told to, within limits, until it is killed."""
  logging.set_verbosity(logging.FATAL)
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
    self._context = multiprocessing.get_context("spawn")
    self._start()

  def _start(self) -> None:
    self._connection, other = self._context.Pipe()
    self._process = self._context.Process(target=_serve, args=(other,), daemon=True)
    self._process.start()
    other.close()
    self._connection.recv()  # once everything is imported

  def close(self) -> None:
    """Ends the process."""
    self._process.kill()
    self._process.join()

  def __call__(self, kind: str, path: pathlib.Path) -> str:
    """See `read`; a crash or a hang is unexplained."""
    try:
      self._connection.send((kind, path))
      if self._connection.poll(SECONDS):
        return self._connection.recv()
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
  make_seeds(seeds)
  outcomes, reader = collections.Counter(), Reader()
  try:
    for i in tqdm(range(inputs), unit="input"):
      kind = KINDS[i % len(KINDS)]
      own = folder / f"{i:06d}-{kind}"
      own.mkdir()
      path = write_input(seeds, own, kind, np.random.default_rng([seed, i]))
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
  for kind in KINDS:
    rows.append([kind, *(str(outcomes[kind, name]) for name in names)])
  rows.append(["all", *(str(sum(outcomes[k, name] for k in KINDS)) for name in names)])
  return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main(argv):
  """Fuzzes, prints the table."""
  if argv[1:]:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
  folder = pathlib.Path(_WORKDIR.value or tempfile.mkdtemp(prefix="fuzz-")).absolute()
  outcomes = fuzz(folder, _INPUTS.value, _SEED.value)
  print(f"{outcomes.total()} inputs, seed {_SEED.value}\n\n{table(outcomes)}")
  if lost := sum(n for (_, name), n in outcomes.items() if name == "unexplained"):
    logging.error("%d unexplained; they are kept in %s", lost, folder)
    sys.exit(1)


if __name__ == "__main__":
  app.run(main)
