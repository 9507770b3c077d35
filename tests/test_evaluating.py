import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsaprobe_jax.attacks.outcome import Outcome
from lsaprobe_jax.evaluating import Scorer, Target
from lsaprobe_jax.results import Shard, SharedRows


def clip(name, group, sha256="h"):
  return types.SimpleNamespace(id=name, group=group, sha256=sha256)


TARGET = Target(name="A", generator=None, group="a", members={"x": "h", "d": "h"})


def test_split_follows_the_training_record():
  assert TARGET.split(clip("x", "a")) == "member"
  assert TARGET.split(clip("y", "b")) == "nonmember"
  assert TARGET.split(clip("z", "dev")) == "dev"


@pytest.mark.parametrize(
  ("bad", "message"),
  [
    (clip("x", "a", "other"), "other samples under this id"),
    (clip("d", "dev"), "this development clip"),
    (clip("w", "a"), "not on this clip"),
  ],
)
def test_a_clip_that_is_neither_is_refused(bad, message):
  with pytest.raises(ValueError, match=message):
    TARGET.split(bad)


def loudness(generator, key, audio, t):
  """An attack that has no score for silence."""
  level = jnp.mean(jnp.square(audio))
  score = jnp.where(level > 0, level, jnp.nan)
  return Outcome(score=score, forward_passes=t, backward_passes=0 * t)


@pytest.mark.parametrize("count", [1, 2])
def test_a_clip_without_a_score_counts_as_done_for_others(tmp_path, count):
  clips = [
    types.SimpleNamespace(id=name, track=name, group="dev", sha256="h")
    for name in "uvw"
  ]
  audio = np.array([[1, 1], [0, 0], [2, 2]], np.float32)
  corpus = types.SimpleNamespace(name="c", clips=clips, audio=audio)
  files = [SharedRows(tmp_path, "scores", Shard(k, count)) for k in range(count)]
  attack = jax.tree_util.Partial(loudness)
  for file in files:
    Scorer(0, 2)(file, attack, TARGET, corpus, t=3, method="m")
  for file in files:
    assert file.missing_shards() == []
    assert [row["clip"] for row in file.asked] == ["u", "w"]
