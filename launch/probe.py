"""Probes one clip: how far its state can be pushed before the reconstruction breaks.

python -m launch.probe --model=MODEL_FOLDER --audio=FILE [--seconds=4] [--tau=0.5]

Prints D against eta as the search's ladder found it and, where tau is given, C_adv. One
clip proves nothing (docs/faq.md): launch.eval scores a corpus and calibrates tau.
"""

from absl import flags, logging

from launch import command, devices
from lsaprobe_jax import search
from lsaprobe_jax.errors import ArgumentError, SettingError
from lsaprobe_jax.models.trained import load_model
from lsaprobe_jax.scoring.method import LSAProbe
from lsaprobe_jax.scoring.one_clip import load_clip, probe_clip

_MODEL = flags.DEFINE_string(
  "model", None, "Embedded model, folder, or source of launch.convert.", required=True
)
_AUDIO = flags.DEFINE_string("audio", None, "An audio file.", required=True)
_SECONDS = flags.DEFINE_float("seconds", 4.0, "Length of the clip.", 1e-3, 14_400)
_START = flags.DEFINE_float("start", 0.0, "Where it begins, seconds.", 0, 14_400)
_T_RATIO = flags.DEFINE_float("t_ratio", 0.6, "Time of the state, over T.")
_STEPS = flags.DEFINE_integer("num_inference_steps", 10, "DDIM steps, S.", 1, 1_000)
_DISTANCE = flags.DEFINE_string("distance", "mr_stft", "The distance.")
_RUNGS = flags.DEFINE_integer("rungs", 16, "Budgets tried.", 2, 10_000)
_ASCENT = flags.DEFINE_integer("ascent", 2, "Ascent steps a budget.", 1, 10_000)
_ETA_MAX = flags.DEFINE_float("eta_max", 0.8, "The largest budget.")
_TAU = flags.DEFINE_float("tau", None, "The perceptual target.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the noise.", 0, 2**31 - 1)


def main(argv):
  """Loads, probes, prints."""
  command.refuse_arguments(argv)
  devices.use_one()
  model = load_model(_MODEL.value, num_inference_steps=_STEPS.value)
  clip = load_clip(
    _AUDIO.value,
    model.sample_rate,
    seconds=_SECONDS.value,
    start=_START.value,
    channels=model.channels,
  )
  try:
    ladder = search.get(
      "continuation", eta_max=_ETA_MAX.value, rungs=_RUNGS.value, steps=_ASCENT.value
    )
  except SettingError as error:
    raise ArgumentError(str(error).removeprefix("search.")) from error
  probe = LSAProbe(
    distance=_DISTANCE.value,
    t_ratio=_T_RATIO.value,
    search=ladder,
    eta_max=_ETA_MAX.value,
    tau=_TAU.value,
  )
  curve = probe_clip(model, probe, clip, seed=_SEED.value)
  logging.info(
    "NFE %d forward, %d backward, in %.1f s with compiling",
    curve.nfe_forward,
    curve.nfe_backward,
    curve.seconds,
  )
  print(curve)


if __name__ == "__main__":
  command.run(main)
