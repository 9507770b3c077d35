"""What `benchmarks.numerics` computes: each piece a function of the stored clips."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import problems
from lsaprobe_jax import diffusion, distances, parallel, probe, search
from lsaprobe_jax.attacks import LSAProbe

DIRECTIONS = 8
_CLIPS = 3
_MODELS = {"embedded": "DiffWave", "small_musicldm": "MusicLDM"}
_DISTANCES = ("waveform", "log_mel", "mr_stft", "cdpam")
# The root mean square of the perturbation that D is taken at.
_ETA = 0.2
# Short, so that what is compared is arithmetic and not how rounding grows in a climb.
_SEARCHES = {
  "continuation": {"rungs": 6},
  "bisection": {"halvings": 4, "ascent_steps": 4, "restarts": 1},
  "minimum_norm": {"steps": 8},
  "auto_pgd": {"halvings": 3, "ascent_steps": 5},
  "random_directions": {},
}

Clips = dict[str, np.ndarray]


def make_clips() -> Clips:
  """The clips of each model, as 16-bit integers that all machines read alike, and tau.

  Tau is what half of the clips reach in the middle of the default search's ladder.
  """
  found = {}
  for size in _MODELS:
    audio = problems.make(size, _CLIPS, "float32", None).audio
    found[f"clips {size}"] = np.round(32767 * audio).astype(np.int16)
    found[f"tau {size}"] = np.float32(1)
    curves = _search(size, "continuation", found)["D by budget"]
    # Off the rungs: on one, rounding moves a certified cost by a whole rung.
    found[f"tau {size}"] = 1.1 * np.median(curves[:, curves.shape[1] // 2])
  return found


def pieces() -> dict[str, Callable[[Clips], dict[str, Any]]]:
  """All pieces by name."""
  found = {}
  for name in _DISTANCES:
    found[f"{name} of waveforms"] = functools.partial(_distance, name)
  for size, title in _MODELS.items():
    for name in _DISTANCES:
      if size == "embedded" or name in ("waveform", "mr_stft"):
        found[f"{title} D in {name}"] = functools.partial(_degradation, size, name)
  for name in _SEARCHES:
    found[f"DiffWave {name}"] = functools.partial(_search, "embedded", name)
  found["MusicLDM continuation"] = functools.partial(
    _search, "small_musicldm", "continuation"
  )
  return found


@functools.cache
def _model(size: str):
  model = problems.make_model(size, "float32")
  return model, diffusion.timestep(model.schedule, problems.T_RATIO)


def _audio(clips: Clips, size: str) -> np.ndarray:
  return clips[f"clips {size}"].astype(np.float32) / 32767


def _summary(gradients: np.ndarray) -> dict[str, np.ndarray]:
  """Norms of [clips, ...] gradients, and their products with fixed directions."""
  flat = np.asarray(gradients).reshape(len(gradients), -1).astype(np.float64)
  random = np.random.default_rng(0)
  directions = random.standard_normal((flat.shape[1], DIRECTIONS))
  return {
    "gradient's norm": np.linalg.norm(flat, axis=1).astype(np.float32),
    "gradient along directions": (flat @ directions).astype(np.float32),
  }


def _distance(name: str, clips: Clips) -> dict[str, Any]:
  """A distance of clips to noisy ones, and its gradient by those."""
  audio = _audio(clips, "embedded")
  model, _ = _model("embedded")
  distance = distances.get(name, sample_rate=model.sample_rate)
  random = np.random.default_rng(1)
  noisy = audio + 0.01 * random.standard_normal(audio.shape).astype(np.float32)
  run = jax.jit(
    lambda distance, *pair: parallel.map_examples(
      jax.value_and_grad(distance, argnums=1), *pair
    )
  )
  values, gradients = run(distance, audio, noisy)
  return {"value": values, **_summary(gradients)}


def _states(model, t, audio: np.ndarray):
  """Each clip's x_t, and a perturbation of root mean square `_ETA`."""
  random = np.random.default_rng(2)

  def noisy(model, audio, number):
    x_t, _ = probe.noisy_state(model, problems.key_of(number), model.encode(audio), t)
    return x_t

  run = jax.jit(lambda model, *batch: parallel.map_examples(
    functools.partial(noisy, model), *batch))  # fmt: skip
  x_t = np.asarray(run(model, audio, np.arange(len(audio), dtype=np.uint32)))
  delta = random.standard_normal(x_t.shape).astype(np.float32)
  return x_t, _ETA * delta


def _degradation(size: str, name: str, clips: Clips) -> dict[str, Any]:
  """D of a fixed perturbation, and its gradient by it."""
  model, t = _model(size)
  audio = _audio(clips, size)
  distance = distances.get(name, sample_rate=model.sample_rate)
  x_t, delta = _states(model, t, audio)

  def one(model, distance, t, x_t, delta):
    clean = distance.embed(model.reconstruct(x_t, t))
    gradient = jax.value_and_grad(probe.degradation, argnums=5)
    return gradient(model, distance, clean, x_t, t, delta)

  run = jax.jit(lambda model, distance, t, *batch: parallel.map_examples(
    functools.partial(one, model, distance, t), *batch))  # fmt: skip
  values, gradients = run(model, distance, jnp.int32(t), x_t, delta)
  return {"value": values, **_summary(gradients)}


def _search(size: str, name: str, clips: Clips) -> dict[str, Any]:
  """C_adv and the rank of a short search, and the largest D at its last budget."""
  model, t = _model(size)
  audio = _audio(clips, size)
  distance = distances.get("waveform", sample_rate=model.sample_rate)
  attack = LSAProbe(
    distance=distance,
    tau=jnp.float32(clips[f"tau {size}"]),
    search=search.get(name, **_SEARCHES[name]),
  )

  def one(model, attack, audio, number):
    found = attack(model, problems.key_of(number), audio, t)
    return found.cost, found.score, found.details["degradations"]

  run = jax.jit(lambda model, attack, *batch: parallel.map_examples(
    functools.partial(one, model, attack), *batch))  # fmt: skip
  numbers = np.arange(len(audio), dtype=np.uint32)
  cost, rank, degradations = run(model, attack, audio, numbers)
  return {"C_adv": cost, "rank": rank, "D by budget": degradations}
