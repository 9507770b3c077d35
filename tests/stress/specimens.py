"""Real files of every kind that this project reads, for the fuzzer to change."""

import collections
import io
import json
import pathlib
import pickle
import re
import shutil
import sys
import types
import zipfile

import jax
import numpy as np
import soundfile
from flax import traverse_util
from safetensors.numpy import save_file

from configs import mini
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.data import manifest as manifests
from lsaprobe_jax.data import vorbis
from lsaprobe_jax.data.build.tfds import building, planning
from lsaprobe_jax.models import checkpoints, registry
from lsaprobe_jax.models.musicldm import porting

SOUND = ("wav", "flac", "ogg", "mp3", "aiff")
RATE = 16000  # Hz, of all sound but that of `config`
RECORD_SECONDS = 0.5
_CLIP_SECONDS = 0.25  # of `config`
CONFIG = "config.json"
ROWS, WORKDIR_FILES = "scores.jsonl", ("run.json", "environment.json")
IDENTITY = {"config": {"seed": 0}, "weights": {"A": "0" * 64}}
_MODEL = dict(
  family="diffwave",
  network=dict(channels=4, layers=2, dilation_cycle=2, embedding_width=8),
  schedule=dict(name="linear", num_train_timesteps=20, beta_start=1e-4, beta_end=0.2),
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
  clips = [{"id": "x@0000000+256", "sha256": "0" * 64}]
  corpus = {"path": "x", "group": "a", "clip_seconds": 0.256}
  training = {"group": "a", "clips": clips, "config": {"corpus": corpus}}
  _write_network(folder / "network", training)
  _write_rows(folder / "rows")
  _write_workdir(folder / "workdir")
  _write_config(folder / "config", music[::2])


def _write_network(folder: pathlib.Path, training: dict) -> None:
  """A model of a few bytes that can be run, and that tells a clip from its twins."""
  weights = registry.random_params(_MODEL, jax.random.key(8))
  checkpoints.save_model(folder, weights, _MODEL, training)


def _write_rows(folder: pathlib.Path) -> None:
  """Rows as launch.eval writes them, one of a search's curve among them."""
  names = {
    "track": "x", "group": "a", "split": "member", "model": "A", "corpus": "c",
    "difficulty_calibration": "none", "seed": 0, "cost": None, "reached": None,
    "nfe_forward": 1, "nfe_backward": 0, "seconds": 0.1,
  }  # fmt: skip
  loss = names | {"method": "loss", "distance": None, "t_ratio": 0.2, "score": -0.5}
  probe = names | {
    "method": "lsa_probe", "distance": "waveform", "t_ratio": 0.1, "score": 0.2,
    "cost": 0.2, "reached": True, "budgets": [0.1, 0.2], "degradations": [0.01, 0.03],
  }  # fmt: skip
  rows = [row | {"clip": f"x@{i}"} for i in range(4) for row in (loss, probe)]
  folder.mkdir()
  text = "".join(json.dumps(row) + "\n" for row in rows)
  (folder / ROWS).write_text(text)


def _write_workdir(folder: pathlib.Path) -> None:
  """A working folder that a run of IDENTITY has begun."""
  folder.mkdir()
  environment = [{"command": "python -m launch.eval", "python": "3.11", "packages": {}}]
  for name, value in zip(WORKDIR_FILES, (IDENTITY, environment), strict=True):
    (folder / name).write_text(json.dumps(value))


def _write_built(
  folder: pathlib.Path, music: np.ndarray, rate: int, groups: dict[str, str]
) -> None:
  """A built corpus of one piece [samples] under several ids (id -> group).

  Each begins elsewhere in it: no model has seen the samples of another's track.
  """
  folder.mkdir(parents=True)
  tracks = []
  for serial, (name, group) in enumerate(groups.items()):
    file = folder / f"{name}.ogg"
    vorbis.write(file, np.roll(music, 101 * serial), rate, serial=serial)
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
  """Settings of configs/mini.py with a corpus and models of a few bytes."""
  groups = dict(a=2, b=2, dev=7)
  tracks = {f"{group}{i}": group for group, n in groups.items() for i in range(n)}
  _write_built(folder / "corpus", music, _MODEL["sample_rate"], tracks)
  defaults = mini.get_config()
  clips = corpora.open_corpus(
    folder / "corpus",
    sample_rate=_MODEL["sample_rate"],
    clip_seconds=_CLIP_SECONDS,
    clips_per_track=defaults.corpus.clips_per_track,
    groups=["a", "b"],
  ).clips
  for name in defaults.targets:
    seen = [c for c in clips if c.group == name.lower()]
    record = [{"id": clip.id, "sha256": clip.sha256} for clip in seen]
    training = {"group": name.lower(), "clips": record, "config": {}} if seen else {}
    _write_network(folder / name, training)
  changes = {
    "corpus.path": str(folder / "corpus"),
    "corpus.clip_seconds": _CLIP_SECONDS,
    "part": "all",
    **{f"targets.{name}": str(folder / name) for name in defaults.targets},
  }
  (folder / CONFIG).write_text(json.dumps(changes))


def _write_pipeline(folder: pathlib.Path) -> None:
  """A pipeline of a few kilobytes, as diffusers saves one."""
  abstract = registry.abstract_params(porting.model_config(_PIPELINE))
  folder.mkdir()
  index = {"_class_name": porting.PIPELINES[0]}
  (folder / "model_index.json").write_text(json.dumps(index))
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
