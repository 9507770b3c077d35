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

from launch import command, common
from lsaprobe_jax import diffusion, distances, search
from lsaprobe_jax.attacks.lsa_probe import DegradationCurve, read_costs
from lsaprobe_jax.data import audio as audio_files
from lsaprobe_jax.models.trained import load_model

_MODEL = flags.DEFINE_string(
  "model", None, "Embedded model, folder, or source of launch.convert.", required=True
)
_AUDIO = flags.DEFINE_string("audio", None, "An audio file.", required=True)
_SECONDS = flags.DEFINE_float("seconds", 4.0, "Length of the clip.", 1e-3, 14_400)
_START = flags.DEFINE_float("start", 0.0, "Where it begins, seconds.", 0, 14_400)
_T_RATIO = flags.DEFINE_float("t_ratio", 0.6, "Time of the state, of T.")
_STEPS = flags.DEFINE_integer("num_inference_steps", 10, "DDIM steps.", 1, 1_000)
_DISTANCE = flags.DEFINE_string("distance", "mr_stft", "The distance.")
_RUNGS = flags.DEFINE_integer("rungs", 16, "Budgets tried.", 2, 10_000)
_ASCENT = flags.DEFINE_integer("ascent", 2, "Ascent steps a budget.", 1, 10_000)
_ETA_MAX = flags.DEFINE_float("eta_max", 0.8, "The largest budget.")
_TAU = flags.DEFINE_float("tau", None, "The perceptual target.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the noise.", 0, 2**31 - 1)


def _check_flags() -> None:
  """Refuses what no curve can be made or read with; NaN is refused as flags are."""
  for name, value, most in (
    ("tau", _TAU.value, 1e30),
    ("eta_max", _ETA_MAX.value, 1e6),
  ):
    if value is not None and not 1e-30 <= value <= most:
      raise ValueError(f"--{name}={value:g}: a number above 0 and at most {most:g}")


def _load_clip(rate: int) -> np.ndarray:
  """The clip at the model's rate, float32 [samples]; AudioError as for a corpus."""
  path = pathlib.Path(_AUDIO.value)
  samples, start = round(_SECONDS.value * rate), round(_START.value * rate)
  recording = audio_files.read_recording(path)
  for remark in recording.remarks:
    logging.warning("%s", remark)
  found, own = recording.samples, recording.rate
  clip = audio_files.resample(found, own, rate)[start : start + samples]
  if len(clip) < samples:
    raise ValueError(f"{path}: {len(clip)} samples are left, not {samples}")
  clip = np.asarray(clip, np.float32)
  audio_files.check(clip, path)
  return clip


def _report(outcome) -> None:
  """Prints the curve and the cost; ValueError where D is not finite along it."""
  curves = [np.asarray(outcome.details[name]) for name in ("budgets", "degradations")]
  if not np.all(np.isfinite(curves)):
    raise ValueError(
      "D is not finite along the curve, which says nothing of the clip: look at"
      " --audio, --distance and the weights of --model"
    )
  if not np.any(curves[1]):
    raise ValueError(
      "D is 0 at every budget, so that nothing was perturbed: look at --t_ratio and the"
      " schedule of --model"
    )
  for eta, degradation in zip(*curves, strict=True):
    print(f"eta {eta:.4f}  D {degradation:.5g}")
  if _TAU.value is None:
    return
  (cost,) = read_costs(*(x[None] for x in curves), _TAU.value, _ETA_MAX.value)
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
    _check_flags()
    model = load_model(_MODEL.value, num_inference_steps=_STEPS.value).model
    clip = _load_clip(model.sample_rate)
    t = diffusion.timestep(model.schedule, _T_RATIO.value)
    distance = distances.get(_DISTANCE.value, sample_rate=model.sample_rate)
    ladder = search.get(
      "continuation", eta_max=_ETA_MAX.value, rungs=_RUNGS.value, steps=_ASCENT.value
    )
  except (ValueError, OSError) as error:
    raise app.UsageError(str(error)) from error
  attack = DegradationCurve(distance=distance, search=ladder)
  model = model.for_length(len(clip))
  key = jax.random.key(_SEED.value)
  score = jax.jit(lambda attack, model, *args: attack(model, *args))
  start = time.perf_counter()
  outcome = jax.device_get(score(attack, model, key, clip, t))
  logging.info(
    "%d evaluations forward, %d backward, in %.1f s with compiling",
    outcome.nfe_forward,
    outcome.nfe_backward,
    time.perf_counter() - start,
  )
  try:
    _report(outcome)
  except ValueError as error:
    raise app.UsageError(str(error)) from error


if __name__ == "__main__":
  command.run(main)
