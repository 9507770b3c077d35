"""Real files of every kind that this project reads, and changes to them.

For launch.fuzz: `make_seeds` writes one of each kind, `write_input` a changed copy.
"""

import collections
import io
import json
import math
import pathlib
import pickle
import re
import shutil
import sys
import types
import zipfile
from collections.abc import Sequence

import jax
import numpy as np
import soundfile
from flax import traverse_util
from safetensors.numpy import save_file

from configs import mini
from launch import common
from lsaprobe_jax import checkpoints
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.data import manifest as manifests
from lsaprobe_jax.data import vorbis
from lsaprobe_jax.data.tfds import building, planning
from lsaprobe_jax.models import generator as generators
from lsaprobe_jax.models.musicldm import porting

SOUND = ("wav", "flac", "ogg", "mp3", "aiff")
KINDS = (*SOUND, "manifest", "records", "model", "weights")
KINDS += ("pipeline", "torch", "config")
RATE = 16000  # Hz, of all sound but that of `config`
RECORD_SECONDS = 0.5
CONFIG = "config.json"

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
# Of a setting, what a flag of its type can be given.
_SETTINGS = {
  bool: (False, True),
  int: (-1, 0, 1, 3, 10**9, 10**18),
  float: (-1.0, 0.0, 0.5, 1e-300, 1e300, math.nan, math.inf),
  str: (
    "",
    "x",
    "/dev/null",
    "\x00",
    "x" * 5000,
    "all",
    "mel",
    "cdpam",
    "linf",
    "bisection",
  ),
}
_MODEL = dict(
  family="diffwave",
  network=dict(channels=4, layers=2, dilation_cycle=2, embedding_width=8),
  schedule=dict(name="linear", num_steps=20, beta_start=1e-4, beta_end=0.2),
  sample_rate=8000,
  scale=4.0,
)


_PIPELINE = {
  "unet": dict(
    in_channels=2, out_channels=2, block_out_channels=[4, 4],
    down_block_types=["DownBlock2D", "CrossAttnDownBlock2D"],
    up_block_types=["CrossAttnUpBlock2D", "UpBlock2D"],
    layers_per_block=1, norm_num_groups=2, cross_attention_dim=[4, 4],
    attention_head_dim=2, class_embed_type="simple_projection",
    projection_class_embeddings_input_dim=3, class_embeddings_concat=True,
  ),
  "vae": dict(
    in_channels=1, out_channels=1, block_out_channels=[4], latent_channels=2,
    down_block_types=["DownEncoderBlock2D"], up_block_types=["UpDecoderBlock2D"],
    layers_per_block=1, norm_num_groups=2, scaling_factor=0.8,
  ),
  "vocoder": dict(
    model_in_dim=8, sampling_rate=16000, upsample_initial_channel=4,
    upsample_rates=[5, 8], upsample_kernel_sizes=[16, 16], resblock_kernel_sizes=[3],
    resblock_dilation_sizes=[[1, 3]], normalize_before=False,
  ),
  "scheduler": dict(
    _class_name="DDIMScheduler", beta_start=0.0015, beta_end=0.0195,
    beta_schedule="scaled_linear", num_train_timesteps=20, steps_offset=1,
    clip_sample=False, set_alpha_to_one=False, prediction_type="epsilon",
  ),
}  # fmt: skip


def make_seeds(folder: pathlib.Path) -> None:
  """Writes a file or folder of each kind, from a second of real music."""
  clips = corpora.open_corpus(
    "multigenre",
    sample_rate=RATE,
    clip_seconds=1.0,
    clips_per_track=1,
    groups=["dev"],
  )
  music = clips.audio[0]
  for suffix in SOUND:
    soundfile.write(folder / suffix, music, RATE, format=suffix.upper())
  _write_built(folder / "manifest", music, RATE, {"x": "a"})
  _write_records(folder, "records")
  params = {"layer": {"kernel": np.ones((3, 4), np.float32), "bias": np.zeros(4)}}
  checkpoints.save_model(folder / "model", params, {"family": "x"}, {"clips": []})
  shutil.copytree(folder / "model", folder / "weights")
  _write_pipeline(folder / "pipeline")
  (folder / "torch").write_bytes(_torch_file())
  _write_config(folder / "config", music[::2])


def _write_built(
  folder: pathlib.Path, music: np.ndarray, rate: int, groups: dict[str, str]
) -> None:
  """A built corpus of one piece [samples] under several ids (id -> group)."""
  folder.mkdir(parents=True)
  tracks = []
  for serial, (name, group) in enumerate(groups.items()):
    file = folder / f"{name}.ogg"
    vorbis.write(file, music, rate, serial=serial)
    track = manifests.Track(
      id=name, title="t", author="a", package="p", path="x", licence="CC0",
      group=group, duplicates=name, file=file.name, changes="none",
      sha256=manifests.sha256(file),
      segments=(manifests.Segment(start_seconds=1.0, seconds=len(music) / rate),),
    )  # fmt: skip
    tracks.append(track)
  made = manifests.Manifest(
    corpus="fuzz",
    sample_rate=rate,
    segment_seconds=len(music) / rate,
    recipe={},
    tracks=tuple(tracks),
  )
  manifests.write(folder, made)


def _write_records(folder: pathlib.Path, name: str) -> None:
  """Two seconds of `folder/wav` as records in `folder/name`."""

  class Fuzz(building.MusicBuilder, skip_registration=True):
    """The sound that is there already, twice."""

    DATASET, LICENCE_NOTE = "fuzz", "CC0"

    def root(self, dl_manager):
      return folder

    def sources(self, root):
      source = lambda i: planning.Source(
        track=f"x{i}", path="wav", title="t", author="a", licence="CC0",
        work=f"w{i}", performer=f"p{i}", stratum="s",
      )  # fmt: skip
      return [source(i) for i in range(2)], []

  config = building.MusicConfig.named(sample_rate=RATE, segment_seconds=RECORD_SECONDS)
  built = building.build(Fuzz, config, folder, folder / "built")
  shutil.move(built, folder / name)
  shutil.rmtree(folder / "built")


def _write_config(folder: pathlib.Path, music: np.ndarray) -> None:
  """Settings of configs/mini.py with a corpus and a model of a few bytes."""
  groups = dict(a=2, b=2, dev=7)
  tracks = {f"{group}{i}": group for group, n in groups.items() for i in range(n)}
  _write_built(folder / "corpus", music, _MODEL["sample_rate"], tracks)
  zero = lambda leaf: np.zeros(leaf.shape, leaf.dtype)
  weights = jax.tree.map(zero, generators.abstract_params(_MODEL))
  checkpoints.save_model(folder / "network", weights, _MODEL, {})
  changes = {
    "corpus.path": str(folder / "corpus"),
    "corpus.clip_seconds": 0.25,
    "part": "all",
    **{
      f"targets.{name}": str(folder / "network") for name in mini.get_config().targets
    },
  }
  (folder / CONFIG).write_text(json.dumps(changes))


def _write_pipeline(folder: pathlib.Path) -> None:
  """A pipeline of a few kilobytes, as diffusers saves one."""
  abstract = generators.abstract_params(porting.model_config(_PIPELINE))
  folder.mkdir()
  index = {"_class_name": porting.PIPELINES[0]}
  (folder / porting.INDEX_FILE).write_text(json.dumps(index))
  for part, config in _PIPELINE.items():
    (folder / part).mkdir()
    file = "scheduler_config" if part == "scheduler" else "config"
    (folder / part / f"{file}.json").write_text(json.dumps(config))
  for part, stem in porting.WEIGHTS.items():
    flat = traverse_util.flatten_dict(abstract[part], sep=".")
    tensors = dict(_torch_tensor(name, leaf.shape) for name, leaf in flat.items())
    save_file(tensors, folder / part / f"{stem}.safetensors")


def _torch_tensor(name: str, shape: tuple[int, ...]) -> tuple[str, np.ndarray]:
  """Ones under the name and with the axes that PyTorch has for one of our leaves."""
  layer, _, kind = name.rpartition(".")
  layer = re.sub(r"_(\d+)", r".\1", layer)
  if kind == "kernel":
    # Linear and convolutions: the last two axes lead, the other way round.
    shape = (shape[-1], shape[-2], *shape[:-2])
  name = f"{layer}.{'bias' if kind == 'bias' else 'weight'}"
  return name, np.ones(shape, np.float32)


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


def mutate(data: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
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


def _change_settings(changes: dict, rng: np.random.Generator) -> dict:
  """One to three settings of configs/mini.py more, each of its own type."""
  settings = _flat(common.jsonable(mini.get_config()))
  # `untrained` compiles: minutes on a busy core, which would count as a hang.
  names = [name for name in settings if not name.startswith(("sweep.", "untrained"))]
  for name in rng.choice(names, size=rng.integers(1, 4), replace=False):
    value = settings[name]
    one = value[0] if isinstance(value, list) else value
    values = _SETTINGS[type(one)]
    new = values[rng.integers(0, len(values))]
    if isinstance(value, list):
      new = [new] * int(rng.integers(0, 3))
    changes[str(name)] = new
  return changes


def _flat(tree: dict, prefix: str = "") -> dict:
  """Dotted name -> value of nested dicts."""
  flat = {}
  for name, value in tree.items():
    nested = isinstance(value, dict)
    flat |= _flat(value, f"{prefix}{name}.") if nested else {prefix + name: value}
  return flat


def write_input(
  seeds: pathlib.Path, folder: pathlib.Path, kind: str, rng: np.random.Generator
) -> pathlib.Path:
  """Writes a mutated file, or folder with one, and returns what is to be read."""
  if kind == "config":
    changes = json.loads((seeds / kind / CONFIG).read_text())
    path = folder / CONFIG
    path.write_text(json.dumps(_change_settings(changes, rng)))
    return path
  files = [path for path in sorted(seeds.rglob("*")) if path.is_file()]
  others = [path.read_bytes() for path in files]
  if kind in SOUND or kind == "torch":
    path = folder / f"input.{kind}"
    path.write_bytes(mutate((seeds / kind).read_bytes(), others, rng))
    return path
  path = shutil.copytree(seeds / kind, folder / kind, dirs_exist_ok=True)
  if kind in ("records", "pipeline"):
    parts = sorted(file for file in path.rglob("*") if file.is_file())
    file = parts[rng.integers(0, len(parts))]
  else:
    name = {"manifest": manifests.FILENAME, "model": checkpoints.MODEL_FILE}
    file = path / name.get(kind, checkpoints.WEIGHTS_FILE)
  file.write_bytes(mutate(file.read_bytes(), others, rng))
  if kind == "weights":
    # A hash that fits, or nothing behind that check would ever be reached.
    record = json.loads((path / checkpoints.MODEL_FILE).read_text())
    record["weights_sha256"] = manifests.sha256(file)
    (path / checkpoints.MODEL_FILE).write_text(json.dumps(record))
  return path
