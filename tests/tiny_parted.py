"""The experiment of seconds on tracks of both parts, and what a sweep of it varies."""

import pathlib
from typing import Any

import tiny_experiment

from configs import sweep_mini
from lsaprobe_jax.scoring.sweep_settings import SweepSettings

# By their names some are tune tracks and some test tracks.
TRACKS = {
  "a": ("a00", "a01", "a02", "a03", "a04"),
  "b": ("b00", "b01", "b06", "b10"),
  "dev": tuple(f"dev{i:02d}" for i in range(21)),
  "reference": ("reference00", "reference01"),
}
METHODS = ("loss", "random_stability", "gradient_norm")
SWEEP = {
  "sweep.methods": METHODS,
  "sweep.nfe_matched": ("loss",),
  # Every method is a program more in every variant.
  "sweep.compared": ("lsa_probe", "loss"),
  "sweep.equal_compute": (0.2, 0.6),
  "sweep.t_ratio": (0.2, 0.6),
  "sweep.eta_max": (0.1, 0.8),
  "sweep.eta_ref": (0.1, 0.2),
  "sweep.distance": ("waveform", "log_mel"),
  "sweep.draws": (1, 2),
  "sweep.paper.distance": "waveform",
  "sweep.compared_in.settings": ("trajectory",),
  "sweep.compared_in.nfe_matched": ("lsa_probe", "pia_nfe_matched"),
}
# The variants of configs/sweep_mini.py that are run.
VARIANTS = {
  "num_inference_steps": [1, 2],
  "clip_ms": [128, 256, 512],
  "ascent_steps": [0, 2, 4],
  "nfe_matched": ["own t"],
}
KNOWN = ("t_ratio", "equal_compute", "times", "eta_max", "eta_ref", "distance", "draws")
ABLATIONS = (*KNOWN, *VARIANTS)


def changes(folder: pathlib.Path) -> dict[str, Any]:
  """Writes tracks and models, and says what is changed in an embedded experiment."""
  corpus = tiny_experiment.write_corpus(folder / "tiny", TRACKS)
  targets = tiny_experiment.save_models(folder / "models", corpus)
  changed = {"part": "test", "corpus.dev_clips_per_track": 1}
  return tiny_experiment.changes(corpus, targets) | changed


def sweep_settings(parted: dict[str, Any]) -> SweepSettings:
  """The sweep of configs/sweep_mini.py on such tracks, with little in it."""
  whole = SweepSettings.from_dict(sweep_mini.get_config().to_dict())
  return whole.changed(parted | SWEEP)
