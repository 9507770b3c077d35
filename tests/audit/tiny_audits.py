"""What tests of audits share: settings of seconds, paths, rows without scoring."""

import numpy as np
from tiny_tracks import MODEL, tiny_weights, write_track

from lsaprobe_jax.audit import AuditSettings, prepare
from lsaprobe_jax.data.clips import Clip
from lsaprobe_jax.models import checkpoints

SETTINGS = {
  "corpus.clips_per_track": 3,
  "distance": "log_mel",
  "search.continuation.rungs": 3,
  "search.continuation.steps": 1,
  "methods": ("loss", "lsa_probe"),
  "baselines.loss.draws": 2,
  "alpha": 0.2,
  "permutations": 99,
}
# The same length of clips as the tiny models' records say, for models without one.
SECONDS = {"corpus.clip_seconds": 0.256}


def given(folder, **changes):
  """Arguments of `audit`: the folder's model and sides, and quick settings."""
  names = ("model", "suspects", "reference")
  return {name: str(folder / name) for name in names} | SETTINGS | changes


def opened(folder, **changes):
  """The inputs of an audit, checked and not scored."""
  return prepare(**given(folder, **changes))


def gates(found):
  """Gates by name."""
  return {gate.name: gate for gate in found.gates}


def recorded_as(folder, clips, seed=1):
  """A model folder whose record holds clips (id, hash of the samples)."""
  seen = [{"id": name, "sha256": sha256} for name, sha256 in clips]
  training = {"group": "a", "clips": seen, "config": {}}
  checkpoints.save_model(folder, tiny_weights(MODEL, seed), MODEL, training)
  return str(folder)


def write_canary(root):
  """Writes six published tracks, and two other versions of each."""
  for seed in range(6):
    write_track(root / "published" / f"{seed}.wav", seed)
    for k in (1, 2):
      write_track(root / "held" / f"v{k}" / f"{seed}.wav", 100 * k + seed)
  return root


def clip(track, group, i=0):
  return Clip(
    id=f"{track}@{i}", track=track, group=group, source="", title="", author="",
    licence="", start_seconds=0.0, sha256="",
  )  # fmt: skip


def clips_of(suspects, comparison, development):
  """One clip a track, so many tracks of each part."""
  parts = (("s", "a", suspects), ("b", "b", comparison), ("d", "dev", development))
  return tuple(
    clip(f"{letter}{i:02d}", group)
    for letter, group, count in parts
    for i in range(count)
  )


def score_rows(clips, method, calibration="none", model="model"):
  """Rows of one method with scores drawn at random."""
  names = {"method": method, "difficulty_calibration": calibration, "model": model}
  rng = np.random.default_rng(len(method))
  return [names | {"clip": c.id, "score": float(rng.normal())} for c in clips]


def how(**changes):
  """Keyword arguments of gates and tests, as the default settings have them."""
  settings = AuditSettings().changed(changes)
  return {name: getattr(settings, name) for name in ("alpha", "permutations", "seed")}
