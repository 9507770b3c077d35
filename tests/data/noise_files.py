"""Files of noise, and how tests open them."""

import numpy as np
import soundfile

from lsaprobe_jax.data.corpus import open_corpus

RATE = 16000


def noise(seed, seconds=8.0, rate=RATE):
  samples = np.random.default_rng(seed).normal(size=round(seconds * rate))
  return (0.05 * samples).astype(np.float32)


def write(path, samples, rate=RATE):
  path.parent.mkdir(parents=True, exist_ok=True)
  soundfile.write(path, samples, rate, subtype="FLOAT")
  return path


def opened(path, **settings):
  return open_corpus(path, **{"sample_rate": RATE, "clip_seconds": 1.0, **settings})
