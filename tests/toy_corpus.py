"""Clips in memory, of any samples, with the names and groups that a test wants."""

from collections.abc import Sequence

import numpy as np

from lsaprobe_jax.data.clips import Clip, Corpus

RATE = 8000


def clip(
  name: str, group: str = "dev", track: str | None = None, sha256: str | None = None
) -> Clip:
  """A clip of which nothing matters but its names, its group and its hash."""
  return Clip(
    id=name,
    track=track or name,
    group=group,
    source="",
    title="",
    author="",
    licence="",
    start_seconds=0.0,
    sha256=f"of {name}" if sha256 is None else sha256,
  )


def corpus(clips: Sequence[Clip], audio, rate: int = RATE) -> Corpus:
  """A corpus of these clips, `audio` [n, samples]."""
  audio = np.asarray(audio, np.float32)
  return Corpus(
    name="toy",
    sample_rate=rate,
    clip_seconds=audio.shape[1] / rate,
    clips=tuple(clips),
    audio=audio,
  )


def noise(groups: str, samples: int = 32, seed: int = 0, rate: int = RATE) -> Corpus:
  """A clip of noise for each letter of `groups`: `a`, `b`, or `d` for development.

  Clips of a track are next to each other, two a track.
  """
  audio = np.random.default_rng(seed).normal(scale=0.3, size=(len(groups), samples))
  names = {"a": "a", "b": "b", "d": "dev"}
  clips = [
    clip(f"{group}{i}", names[group], f"{group}-track{i // 2}")
    for i, group in enumerate(groups)
  ]
  return corpus(clips, audio, rate)
