"""A corpus of seconds, models that are said to be trained on it, and an experiment."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from tiny_tracks import MODEL, RATE, write_track

from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.models import checkpoints, registry

# Tracks of each group: 21 development clips in all, as few as tau is calibrated on.
TRACKS = {"a": 4, "b": 4, "dev": 7, "reference": 2}
CLIP_SECONDS = 0.256
# Which group a model is said to be trained on.
GROUPS = {"A": "a", "B": "b", "reference": "reference"}


def numbered(tracks: Mapping[str, int] = TRACKS) -> dict[str, list[str]]:
  """Names of so many tracks of each group: `a00`, `a01`, ..."""
  return {
    group: [f"{group}{i:02d}" for i in range(count)] for group, count in tracks.items()
  }


def write_corpus(
  folder: pathlib.Path, names: Mapping[str, Sequence[str]] | None = None
) -> pathlib.Path:
  """Writes `folder/GROUP/NAME.wav`, each track another."""
  names = numbered() if names is None else names
  tracks = [(group, name) for group, own in names.items() for name in own]
  for seed, (group, name) in enumerate(tracks):
    write_track(folder / group / f"{name}.wav", seed)
  return folder


def save_models(
  folder: pathlib.Path, corpus: pathlib.Path, groups: Mapping[str, str] = GROUPS
) -> dict[str, str]:
  """Saves a model for each name, with a record of what it is said to be trained on."""
  made = {}
  for seed, (name, group) in enumerate(groups.items()):
    clips = corpora.open_corpus(
      corpus,
      sample_rate=RATE,
      clip_seconds=CLIP_SECONDS,
      clips_per_track=1,
      groups=[group],
    )
    seen = [{"id": clip.id, "sha256": clip.sha256} for clip in clips.clips]
    record = {"group": group, "clips": seen}
    # Some of the first seeds give a network this small that answers to nothing.
    weights = registry.random_params(MODEL, jax.random.key(8 + seed))
    checkpoints.save_model(folder / name, weights, MODEL, record)
    made[name] = str(folder / name)
  return made


def changes(corpus: pathlib.Path, targets: Mapping[str, str]) -> dict[str, Any]:
  """What makes configs/mini.py an experiment of seconds, by dotted names."""
  return {
    "corpus.path": str(corpus),
    "corpus.clip_seconds": CLIP_SECONDS,
    "corpus.dev_clips_per_track": 3,
    **{f"targets.{name}": source for name, source in targets.items()},
    "distance": "log_mel",
    "tau.eta_ref": 0.2,
    "part": "all",
    "search.continuation.rungs": 3,
    "search.continuation.steps": 1,
    "bootstrap_resamples": 50,
    "baselines.loss.draws": 2,
    "baselines.random_stability.draws": 2,
    "baselines.rediffuse.draws": 2,
    "batch_size": 4,
  }


# The paper's search in no time: it has to be told tau before it starts.
PAPERS = {
  "search.name": "bisection",
  "search.bisection.halvings": 2,
  "search.bisection.ascent_steps": 2,
  "search.bisection.restarts": 1,
}
