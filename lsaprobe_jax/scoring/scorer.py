"""Scoring clips: an attack over targets and clips, rows to disk as they come."""

import copy
import hashlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from lsaprobe_jax import parallel
from lsaprobe_jax.data.clips import Clip, Corpus
from lsaprobe_jax.diffusion import timestep
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.models.trained import TrainedModel
from lsaprobe_jax.rows import Row
from lsaprobe_jax.scoring.row_store import RowStore


def clip_number(clip_id: str) -> int:
  """A clip's number for `jax.random.fold_in`, from its id alone."""
  # A name need not be Unicode: its bytes then come as lone surrogates.
  name = clip_id.encode("utf-8", "surrogatepass")
  return int.from_bytes(hashlib.sha256(name).digest()[:4], "big")


def row_identity(
  clip: Clip,
  target: TrainedModel,
  corpus: Corpus,
  seed: int,
  *,
  method: str,
  t_ratio: float | None = None,
  distance: str | None = None,
) -> dict[str, Any]:
  """What a row says before there is a score."""
  return {
    "clip": clip.id,
    "track": clip.track,
    "group": clip.group,
    "split": target.split(clip),
    "model": target.name,
    "corpus": corpus.name,
    "method": method,
    "distance": distance,
    "t_ratio": t_ratio,
    "difficulty_calibration": "none",
    "seed": seed,
  }


def check_clips(target: TrainedModel, corpus: Corpus) -> None:
  """Refuses clips at another rate than the model's, or of more channels than it takes.

  Of one channel a model may make several.

  Raises:
    ArgumentError: they have.
  """
  if corpus.sample_rate != target.sample_rate:
    raise ArgumentError(
      f"clips: they have {corpus.sample_rate} Hz and the model {target.sample_rate} Hz;"
      " open them with load_audio(PATH, like=model)"
    )
  if corpus.channels > target.channels:
    raise ArgumentError(
      f"clips: they have {corpus.channels} channels and the model {target.channels};"
      " open them with load_audio(PATH, like=model)"
    )


class Scorer:
  """Scores clips by attacks, each compiled once for targets of one architecture."""

  def __init__(self, seed: int, batch_size: int, most: int | None = None):
    """A scorer that has compiled nothing yet.

    Args:
      seed: of the draws of noise.
      batch_size: clips on a device at once, no more than there are; 0 finds what fits.
      most: clips that there are at most, where that is known.
    """
    self._seed = seed
    if most is not None:
      batch_size = min(batch_size, most)

    def score(shared, audio, number, t):
      seed, model, attack = shared
      key = jax.random.fold_in(jax.random.key(seed), number)
      return attack(model, key, audio, t)

    self._run = parallel.over_examples(score, batch_size, most)

  def reseeded(self, seed: int) -> "Scorer":
    """The same compiled programs with other draws of noise."""
    other = copy.copy(self)
    other._seed = seed
    return other

  def __call__(
    self,
    store: RowStore,
    attack: Any,
    target: TrainedModel,
    corpus: Corpus,
    *,
    method: str,
    t_ratio: float,
    distance: str | None = None,
    made_by: Callable[[Clip], str] | None = None,
  ) -> list[Row]:
    """Returns rows of the corpus's clips, which are there already or scored now.

    A clip whose score or other figures are not finite is reported and left out, and so
    is one that is for another process to score and not there yet.

    Args:
      store: where rows are kept.
      attack: see `attacks.outcome`.
      target: the model.
      corpus: the clips.
      method: what rows call the attack.
      t_ratio: the attack's time over T.
      distance: what rows call its distance.
      made_by: what a clip's row says that it was made by; None to say nothing.

    Raises:
      ValueError: the schedule has no such time, or a clip is of no known side.
    """
    t = timestep(target.model.schedule, t_ratio)
    names = {"method": method, "t_ratio": t_ratio, "distance": distance}
    rows = [row_identity(c, target, corpus, self._seed, **names) for c in corpus.clips]
    if made_by is not None:
      made = map(made_by, corpus.clips)
      rows = [row | {"made_by": own} for row, own in zip(rows, made, strict=True)]
    new = [(i, rows[i]) for i in store.to_score(rows)]
    if new:
      self._score_new(store, attack, target, corpus, new, t)
    found = [store.get(row) for row in rows]
    return [row for row in found if row is not None]

  def _score_new(self, store, attack, target, corpus, new, t):
    index = [i for i, _ in new]
    numbers = np.array([clip_number(row["clip"]) for _, row in new], np.uint32)
    times = np.full(len(new), t, np.int32)
    method, facts = new[0][1]["method"], _facts(attack, corpus)
    facts |= _noise_facts(target.model.schedule.log_snr[t])
    shared = (np.int32(self._seed), target.model, attack)
    parts = self._run(shared, corpus.audio.take(index, axis=0), numbers, times)
    named = f"{method} {target.name}"
    with tqdm(total=len(new), unit="clip", desc=named, leave=False) as bar:
      start = time.perf_counter()
      for batch, outcome in parts:
        seconds = (time.perf_counter() - start) / len(outcome.score)
        store.keep(
          row | facts | _figures(outcome, i, seconds)
          for i, (_, row) in enumerate(new[batch])
        )
        bar.update(len(outcome.score))
        start = time.perf_counter()


def _facts(attack: Any, corpus: Corpus) -> dict[str, Any]:
  """What every row of an attack on some clips says of both."""
  facts: dict[str, Any] = {} if corpus.channels == 1 else {"channels": corpus.channels}
  if getattr(attack, "magnitude", False):
    facts["magnitude"] = True
  if names := getattr(attack, "names", ()):
    facts["twins"] = ",".join(names)
  return facts


def _noise_facts(log_snr: float) -> dict[str, float]:
  """What a row says of its time's noise; nothing of a state that is noise alone."""
  return {"log_snr": round(float(log_snr), 4)} if np.isfinite(log_snr) else {}


def _figures(outcome, i: int, seconds: float) -> dict[str, Any]:
  reached = None if outcome.reached is None else bool(outcome.reached[i])
  figures = {
    "score": float(outcome.score[i]),
    "cost": float(outcome.cost[i]),
    "reached": reached,
    "nfe_forward": int(outcome.nfe_forward[i]),
    "nfe_backward": int(outcome.nfe_backward[i]),
    "seconds": round(seconds, 4),
    **{name: value[i].tolist() for name, value in outcome.details.items()},
  }
  if "twin_scores" in figures:
    # Clip and twins ran in one program, and a network evaluation takes either as long.
    own, all_nfe = (
      sum(figures[f"{of}nfe_{way}"] for of in names for way in ("forward", "backward"))
      for names in (("",), ("", "twin_"))
    )
    figures["seconds"] = round(seconds * own / all_nfe, 4)
    figures["twin_seconds"] = round(seconds * (1 - own / all_nfe), 4)
  return figures
