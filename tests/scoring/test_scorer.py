"""Scoring of clips by an attack: splits, draws, and clips without a score."""

import dataclasses
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy_corpus
import toy_model

from lsaprobe_jax.attacks.outcome import Outcome
from lsaprobe_jax.probe import clip_noise
from lsaprobe_jax.scoring.row_store import RowFile, RowStore
from lsaprobe_jax.scoring.scorer import Scorer, clip_number
from lsaprobe_jax.scoring.shared_rows import Shard, SharedRows

TARGET = dataclasses.replace(
  toy_model.model(), group="a", members={"x": "of x", "d": "of d"}
)


def test_split_follows_the_training_record():
  assert TARGET.split(toy_corpus.clip("x", "a")) == "member"
  assert TARGET.split(toy_corpus.clip("y", "b")) == "nonmember"
  assert TARGET.split(toy_corpus.clip("z", "dev")) == "dev"


@pytest.mark.parametrize(
  ("bad", "message"),
  [
    (toy_corpus.clip("x", "a", sha256="other"), "other samples under this id"),
    (toy_corpus.clip("d", "dev"), "this development clip"),
    (toy_corpus.clip("w", "a"), "not on this clip"),
  ],
)
def test_a_clip_that_is_neither_is_refused(bad, message):
  with pytest.raises(ValueError, match=message):
    TARGET.split(bad)


def loudness(model, key, audio, t):
  """An attack that has no score for silence."""
  level = jnp.mean(jnp.square(audio))
  score = jnp.where(level > 0, level, jnp.nan)
  return Outcome(score=score, nfe_forward=t, nfe_backward=0 * t)


def first_noise(model, key, audio, t):
  """An attack whose score is the first value of the clip's eps."""
  score = clip_noise(key, audio.shape)[0]
  return Outcome(score=score, nfe_forward=0 * t, nfe_backward=0 * t)


def test_a_reseeded_scorer_draws_what_one_of_that_seed_draws(tmp_path):
  corpus = toy_corpus.corpus([toy_corpus.clip("u")], np.ones((1, 2)))
  attack = jax.tree_util.Partial(first_noise)
  scores = {}
  scorer = Scorer(0, 1)
  for name, own in {
    "0": scorer,
    "3": scorer.reseeded(3),
    "3 anew": Scorer(3, 1),
  }.items():
    file = RowFile(tmp_path / f"{name}.jsonl")
    (row,) = own(file, attack, TARGET, corpus, t_ratio=0.15, method="m")
    assert row["seed"] == int(name[0])
    scores[name] = row["score"]
  key = jax.random.fold_in(jax.random.key(3), clip_number("u"))
  assert scores["3"] == scores["3 anew"] == float(clip_noise(key, (2,))[0])
  assert scores["0"] != scores["3"]


def test_a_row_says_the_noise_of_its_time():
  corpus = toy_corpus.corpus([toy_corpus.clip("u")], np.ones((1, 2)))
  schedule = TARGET.model.schedule
  t = round(0.15 * schedule.num_train_timesteps)
  signal, noise = (float(x[t]) for x in (schedule.signal, schedule.noise))

  def score(target):
    attack = jax.tree_util.Partial(first_noise)
    (row,) = Scorer(0, 1)(RowStore(), attack, target, corpus, t_ratio=0.15, method="m")
    return row

  expected = np.log(signal**2 / noise**2)
  assert score(TARGET)["log_snr"] == pytest.approx(expected, abs=1e-4)
  # A flow's last state is noise alone.
  empty = schedule.replace(signal=schedule.signal.at[t].set(0))
  alone = dataclasses.replace(TARGET, model=TARGET.model.replace(schedule=empty))
  assert "log_snr" not in score(alone)


@pytest.mark.parametrize("count", [1, 2])
def test_a_clip_without_a_score_counts_as_done_for_others(tmp_path, count):
  clips = [toy_corpus.clip(name) for name in "uvw"]
  corpus = toy_corpus.corpus(clips, [[1, 1], [0, 0], [2, 2]])
  files = [SharedRows(tmp_path, "scores", Shard(k, count)) for k in range(count)]
  attack = jax.tree_util.Partial(loudness)
  for file in files:
    Scorer(0, 2)(file, attack, TARGET, corpus, t_ratio=0.15, method="m")
  for file in files:
    assert file.missing_shards() == []
    assert [row["clip"] for row in file.asked] == ["u", "w"]


def odd(model, key, audio, t):
  """An attack with a figure that is not finite where the clip says so."""
  tau = jnp.where(audio[0] > 1, jnp.nan, 1.0)
  zero = 0 * t
  return Outcome(
    score=audio[0], nfe_forward=zero, nfe_backward=zero, details={"tau": tau}
  )


def test_a_score_beside_a_figure_that_is_not_finite_is_left_out(tmp_path, caplog):
  """The score alone would be ranked: a tau of NaN reads as one never reached."""
  clips = [toy_corpus.clip(name) for name in ("u", "v\n\udce9", "w")]
  corpus = toy_corpus.corpus(clips, [[1, 1], [2, 2], [0, 0]])
  file = RowFile(tmp_path / "rows.jsonl")
  attack = jax.tree_util.Partial(odd)
  rows = Scorer(0, 10**9, 3)(file, attack, TARGET, corpus, t_ratio=0.15, method="m")
  assert [row["clip"] for row in rows] == ["u", "w"]
  assert "v\\n\\udce9: tau is nan, not a number above 0; left out" in caplog.text
  assert [row["clip"] for row in RowFile(tmp_path / "rows.jsonl").rows] == ["u", "w"]


def test_a_name_that_is_not_text_has_a_number():
  assert clip_number("caf\udce9.wav@0") != clip_number("caf\udcea.wav@0")
  assert clip_number("x") == int.from_bytes(hashlib.sha256(b"x").digest()[:4], "big")
