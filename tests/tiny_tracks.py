"""A tiny DiffWave, and music-like files of two seconds to score with it."""

import pathlib

import jax
import numpy as np
import scipy.signal
import soundfile

from lsaprobe_jax.models import registry

RATE = 8000
# A DiffWave that compiles in seconds.
MODEL = {
  "family": "diffwave",
  "network": dict(channels=4, layers=2, dilation_cycle=2, embedding_width=8),
  "schedule": dict(
    name="linear", num_train_timesteps=20, beta_start=0.0001, beta_end=0.2
  ),
  "sample_rate": 8000,
  "scale": 4.0,
}


def tiny_weights(model, seed):
  """Random weights of a model that model.json describes."""
  rng = np.random.default_rng(seed)
  draw = lambda leaf: rng.normal(scale=0.3, size=leaf.shape).astype(np.float32)
  return jax.tree.map(draw, registry.abstract_params(model))


def write_track(path: pathlib.Path, seed: int, rate: int = RATE, seconds=2.0):
  """Filtered noise and a tone of its own."""
  rng = np.random.default_rng(seed)
  time_axis = np.arange(round(seconds * rate)) / rate
  low = rng.uniform(0.05, 0.6)
  taps = scipy.signal.butter(2, [low, low + 0.3], "band", output="sos")
  noise = scipy.signal.sosfilt(taps, rng.normal(size=time_axis.size))
  tone = np.sin(2 * np.pi * rng.uniform(100, 1500) * time_axis)
  path.parent.mkdir(parents=True, exist_ok=True)
  soundfile.write(path, 0.2 * tone + 0.3 * noise / np.std(noise), rate, "FLOAT")


BAD_FILES = ("corrupt", "empty", "silent", "nan", "short")


def write_bad_files(folder: pathlib.Path) -> None:
  """One file of each kind that no score can be had from, and one at another rate."""
  (folder / "corrupt.wav").write_bytes(b"RIFF this is no audio")
  (folder / "empty.wav").touch()
  soundfile.write(folder / "silent.wav", np.zeros(2 * RATE), RATE)
  nan = np.full(2 * RATE, 0.1, np.float32)
  nan[100] = np.nan
  soundfile.write(folder / "nan.wav", nan, RATE, "FLOAT")
  write_track(folder / "short.wav", 100, seconds=0.1)
  write_track(folder / "odd_rate.wav", 101, rate=11025)


def write_tagged(path, samples, rate=8000, **tags):
  """A file of samples with tags."""
  path.parent.mkdir(parents=True, exist_ok=True)
  with soundfile.SoundFile(path, "w", rate, 1) as file:
    for name, value in tags.items():
      setattr(file, name, value)
    file.write(samples)
