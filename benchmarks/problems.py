"""What the benchmarks search: models by size, clips, and the state a search starts at.

Every process that takes part makes them anew from the same seed, so that no weights
travel between processes.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from lsaprobe_jax import diffusion, probe, search
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.models import checkpoints, conversion, memory, registry
from lsaprobe_jax.models.musicldm import porting
from lsaprobe_jax.models.trained import load_model
from lsaprobe_jax.search import norms

T_RATIO = 0.2
SEED = 0
# Noise stands for music where the weights are random; this is its root mean square.
_LOUDNESS = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
  """A network that is timed.

  Attributes:
    title: what tables call it.
    seconds: length of a clip.
    embedded: name of an embedded model; None where weights are drawn.
    config: the model configuration where weights are drawn.
    clips: how many are timed on a CPU by default.
    batches: clips in one call that are tried on a CPU by default.
  """

  title: str
  seconds: float
  embedded: str | None = None
  config: Mapping[str, Any] | None = None
  clips: int
  batches: tuple[int, ...]


def _diffwave(channels: int, layers: int, cycle: int) -> dict[str, Any]:
  """LMNT's DiffWave without conditioning: its schedule and rate, any width."""
  return {
    "family": "diffwave",
    "network": {"channels": channels, "layers": layers, "dilation_cycle": cycle},
    "schedule": {
      "name": "linear",
      "num_train_timesteps": 50,
      "beta_start": 1e-4,
      "beta_end": 0.05,
    },
    "sample_rate": 22050,
    "scale": 1.0,
  }


def _published(**changes: Mapping[str, Any]) -> dict[str, Any]:
  """MusicLDM as published, with some settings of its parts changed."""
  path = pathlib.Path(porting.__file__).with_name("published.json")
  parts = json.loads(path.read_text())["musicldm"]
  return porting.model_config(
    {name: part | changes.get(name, {}) for name, part in parts.items()}
  )


def _tiny_musicldm() -> dict[str, Any]:
  """The published pipeline with one block of each kind: a rehearsal takes seconds."""
  return _published(
    unet={
      "in_channels": 2,
      "out_channels": 2,
      "block_out_channels": [4],
      "down_block_types": ["DownBlock2D"],
      "up_block_types": ["UpBlock2D"],
      "layers_per_block": 1,
      "norm_num_groups": 2,
      "attention_head_dim": 2,
      "cross_attention_dim": [4],
      "projection_class_embeddings_input_dim": 6,
    },
    vae={
      "latent_channels": 2,
      "block_out_channels": [4, 4],
      "down_block_types": ["DownEncoderBlock2D"] * 2,
      "up_block_types": ["UpDecoderBlock2D"] * 2,
      "layers_per_block": 1,
      "norm_num_groups": 2,
    },
    vocoder={
      "model_in_dim": 8,
      "upsample_initial_channel": 4,
      "upsample_rates": [5, 8],
      "upsample_kernel_sizes": [16, 16],
      "resblock_kernel_sizes": [3],
      "resblock_dilation_sizes": [[1, 3]],
    },
  )


SIZES = {
  "embedded": Size(
    title="DiffWave, embedded",
    seconds=0.512,
    embedded="diffwave-multigenre-a",
    clips=16,
    batches=(1, 4, 16),
  ),
  "lmnt": Size(
    title="DiffWave 64 x 30 (LMNT)",
    seconds=0.5,
    config=_diffwave(64, 30, 10),
    clips=2,
    batches=(1,),
  ),
  "small_musicldm": Size(
    title="MusicLDM, embedded",
    seconds=0.512,
    embedded="musicldm-multigenre-a",
    clips=4,
    batches=(1, 4),
  ),
  "published_musicldm": Size(
    title="MusicLDM as published",
    seconds=4.0,
    config=_published(),
    clips=1,
    batches=(1,),
  ),
  "tiny_diffwave": Size(
    title="DiffWave 4 x 2 (rehearsal)",
    seconds=0.1,
    config=_diffwave(4, 2, 2),
    clips=4,
    batches=(1, 2),
  ),
  "tiny_musicldm": Size(
    title="MusicLDM 4 wide (rehearsal)",
    seconds=0.16,
    config=_tiny_musicldm(),
    clips=2,
    batches=(1, 2),
  ),
}


@dataclasses.dataclass(frozen=True)
class Problem:
  """Clips to search, under a model.

  Attributes:
    model: a `models.DiffusionModel`.
    audio: float32 [clips, samples].
    t: the time.
  """

  model: Any
  audio: np.ndarray
  t: int

  @property
  def numbers(self) -> np.ndarray:
    """What is folded into each clip's key, uint32 [clips]."""
    return np.arange(len(self.audio), dtype=np.uint32)


def key_of(number) -> jax.Array:
  """A clip's key, as the scorer makes it."""
  return jax.random.fold_in(jax.random.key(SEED), number)


def make_model(size: str, precision: str, samples: int | None = None) -> Any:
  """Makes a model of a size, for clips of so many samples; None for the size's own.

  Raises:
    SettingError: the model has no such precision.
  """
  described = SIZES[size]
  if described.embedded:
    model = load_model(described.embedded, precision=precision).model
  else:
    params = registry.random_params(described.config, jax.random.key(SEED))
    model = registry.build_model(described.config, params, 1, precision=precision)
  samples = samples or round(described.seconds * model.sample_rate)
  return memory.suited(model.for_length(samples), samples)


def make(size: str, clips: int, precision: str, seconds: float | None) -> Problem:
  """Makes a model of a size, and clips.

  Args:
    size: one of `SIZES`.
    clips: how many.
    precision: of the model, `float32` or `bfloat16`.
    seconds: length of a clip; None for the size's own.

  Raises:
    SettingError: the model has no such precision.
  """
  described = SIZES[size]
  rate = model_config(size)["sample_rate"]
  samples = round((seconds or described.seconds) * rate)
  if described.embedded:
    audio = _music(rate, samples, clips)
  else:
    random = np.random.default_rng(SEED)
    audio = _LOUDNESS * random.standard_normal((clips, samples), np.float32)
  model = make_model(size, precision, samples)
  t = diffusion.timestep(model.schedule, T_RATIO)
  return Problem(model, audio.astype(np.float32), t)


def model_config(size: str) -> Mapping[str, Any]:
  """The model configuration of a size."""
  described = SIZES[size]
  if described.config is not None:
    return described.config
  return checkpoints.load_model(conversion.find_model(described.embedded))[1]["model"]


def _music(rate: int, samples: int, clips: int) -> np.ndarray:
  """Clips of the embedded corpus, [clips, samples]; from the first again if too few."""
  found = corpora.load_audio(
    "multigenre",
    sample_rate=rate,
    clip_seconds=samples / rate,
    clips_per_track=1,
    groups=["a"],
  )
  return np.stack([found.audio[i % len(found.audio)] for i in range(clips)])


def starts(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
  """Where the default search starts on each clip, as our program draws it.

  Returns:
    The noisy states, [clips, ...], and the directions of unit root mean square.
  """

  def start(model, audio, number):
    key = key_of(number)
    x_t, _ = probe.noisy_state(model, key, model.encode(audio), problem.t)
    # As `probe` and `search.Continuation` split it for their only climb.
    (climb_key,) = jax.random.split(jax.random.fold_in(key, 2**31 - 1), 1)
    norm = norms.get(search.Continuation().norm)
    return x_t, norm.steepest(norm.sample(climb_key, x_t.shape))

  each = [
    jax.jit(start)(problem.model, audio, number)
    for audio, number in zip(problem.audio, problem.numbers, strict=True)
  ]
  states, directions = zip(*each, strict=True)
  return np.stack(states), np.stack(directions)


def samples(problem: Problem, settings: Any) -> tuple[np.ndarray, np.ndarray]:
  """What another search than the default one draws on each clip.

  Returns:
    The noisy states, [clips, ...]; and for `bisection` random points of the unit ball
    [clips, trials, restarts, ...], for `random_directions` directions of unit root mean
    square [clips, draws, ...].
  """
  norm = norms.get(settings.norm)

  def draw(model, audio, number):
    key = key_of(number)
    x_t, _ = probe.noisy_state(model, key, model.encode(audio), problem.t)
    sample = functools.partial(norm.sample, shape=x_t.shape)
    key = jax.random.fold_in(key, 2**31 - 1)  # As `probe` does.
    if settings.name == "random_directions":
      found = jax.vmap(sample)(jax.random.split(key, settings.draws))
      return x_t, jax.vmap(lambda x: x / norm.size(x))(found)
    trials = jax.random.split(key, settings.halvings + 1)
    split = functools.partial(jax.random.split, num=settings.restarts)
    return x_t, jax.vmap(jax.vmap(sample))(jax.vmap(split)(trials))

  each = [
    jax.jit(draw)(problem.model, audio, number)
    for audio, number in zip(problem.audio, problem.numbers, strict=True)
  ]
  states, drawn = zip(*each, strict=True)
  return np.stack(states), np.stack(drawn)


def budgets(settings: search.Continuation) -> list[float]:
  """The budget of each gradient of a climb, in turn."""
  ladder = settings.eta_max * np.geomspace(1 / settings.span, 1, settings.rungs)
  steps = np.full(settings.rungs, settings.steps)
  steps[0] += settings.warmup
  return np.repeat(ladder, steps).tolist()
