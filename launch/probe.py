"""Probes one clip: how far its state can be pushed before the reconstruction breaks.

python -m launch.probe --model=MODEL_FOLDER --audio=FILE [--seconds=4] [--tau=0.5]

Prints D against eta as the search's ladder found it and, where tau is given, C_adv. One
clip proves nothing (README.md, Limits): launch.eval scores a corpus and sets tau.
"""

import pathlib
import time

import jax
import numpy as np
from absl import app, flags, logging

from launch import common
from lsaprobe_jax import diffusion, distances, search
from lsaprobe_jax.attacks.lsa_probe import DamageCurve, read_costs
from lsaprobe_jax.data import audio as audio_files

_MODEL = flags.DEFINE_string(
  "model", None, "Embedded model, folder, or source of launch.convert.", required=True
)
_AUDIO = flags.DEFINE_string("audio", None, "An audio file.", required=True)
_SECONDS = flags.DEFINE_float("seconds", 4.0, "Length of the clip.", lower_bound=0)
_START = flags.DEFINE_float("start", 0.0, "Where it begins, seconds.", lower_bound=0)
_T_RATIO = flags.DEFINE_float("t_ratio", 0.6, "Time of the state, of T.")
_STEPS = flags.DEFINE_integer("num_steps", 10, "DDIM steps.", lower_bound=1)
_DISTANCE = flags.DEFINE_string("distance", "mr_stft", "The distance.")
_RUNGS = flags.DEFINE_integer("rungs", 16, "Budgets tried.", lower_bound=2)
_ASCENT = flags.DEFINE_integer("ascent", 2, "Ascent steps a budget.", lower_bound=1)
_ETA_MAX = flags.DEFINE_float("eta_max", 0.8, "The largest budget.")
_TAU = flags.DEFINE_float("tau", None, "The perceptual target.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the noise.")


def _load_clip(rate: int) -> np.ndarray:
  """The clip at the model's rate, float32 [samples]."""
  samples, start = round(_SECONDS.value * rate), round(_START.value * rate)
  found, own = audio_files.decode(pathlib.Path(_AUDIO.value))
  clip = audio_files.resample(found, own, rate)[start : start + samples]
  if len(clip) < samples:
    raise ValueError(f"{_AUDIO.value}: {len(clip)} samples are left, not {samples}")
  return np.asarray(clip, np.float32)


def _report(outcome) -> None:
  for eta, damage in zip(
    outcome.details["budgets"], outcome.details["damages"], strict=True
  ):
    print(f"eta {eta:.4f}  D {damage:.5g}")
  if _TAU.value is None:
    return
  curves = (outcome.details[name][None] for name in ("budgets", "damages"))
  (cost,) = read_costs(*curves, _TAU.value, _ETA_MAX.value)
  if cost["reached"]:
    print(f"C_adv {cost['cost']:.4f} at tau {_TAU.value:g}")
  else:
    print(f"tau {_TAU.value:g} is not reached within eta {_ETA_MAX.value:g}: censored")


def main(argv):
  """Loads, probes, prints."""
  if argv[1:]:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
  common.use_compilation_cache()
  try:
    generator, _ = common.load_generator(_MODEL.value, _STEPS.value)
    clip = _load_clip(generator.sample_rate)
    t = diffusion.timestep(generator.schedule, _T_RATIO.value)
    distance = distances.get(_DISTANCE.value, sample_rate=generator.sample_rate)
    ladder = search.get(
      "continuation", eta_max=_ETA_MAX.value, rungs=_RUNGS.value, steps=_ASCENT.value
    )
  except (ValueError, OSError) as error:
    raise app.UsageError(str(error)) from error
  attack = DamageCurve(distance=distance, search=ladder)
  generator = generator.for_length(len(clip))
  key = jax.random.key(_SEED.value)
  score = jax.jit(lambda attack, generator, *args: attack(generator, *args))
  start = time.perf_counter()
  outcome = jax.device_get(score(attack, generator, key, clip, t))
  logging.info(
    "%d evaluations forward, %d backward, in %.1f s with compiling",
    outcome.forward_passes,
    outcome.backward_passes,
    time.perf_counter() - start,
  )
  _report(outcome)


if __name__ == "__main__":
  app.run(main)
