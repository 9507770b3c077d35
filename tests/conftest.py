"""What many tests share: fixtures, and how programs are compiled."""

import os

import compiling
import numpy as np
import pytest

from lsaprobe_jax.data import audio as audio_files
from lsaprobe_jax.data import corpus as corpora


def pytest_configure(config):
  # Live parity is looked at in programs compiled as users compile them.
  if "not parity" in config.option.markexpr:
    os.environ.setdefault("XLA_FLAGS", compiling.FAST)


@pytest.fixture(scope="session")
def real_audio():
  """`real_audio(samples, rate)`: real music from the shipped corpus, [-1, 1]."""
  clips = corpora.open_corpus(
    "multigenre", sample_rate=16000, clip_seconds=4.0, clips_per_track=1, groups=["dev"]
  )

  def cut(samples: int, rate: int, clip: int = 0) -> np.ndarray:
    audio = audio_files.resample(clips.audio[clip], 16000, rate)
    return np.ascontiguousarray(audio[:samples], np.float32)

  return cut
