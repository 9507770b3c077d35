import types

import pytest

from lsaprobe_jax.evaluating import Target


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
