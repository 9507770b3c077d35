"""What a clip is to a model: a member, none, or nothing that anybody may judge by."""

import pytest
from toy_corpus import clip

from lsaprobe_jax.errors import LsaProbeError
from lsaprobe_jax.models.trained import TrainedModel

RECORDED = TrainedModel(
  name="A", model=None, group="a", members={"x@0+1": "of x@0+1", "d": "of d"}
)
# It went on from another model's weights, so that its clips are of no one group.
TUNED = TrainedModel(name="A", model=None, members={"x@0+1": "of x@0+1"})


def test_a_clips_split_follows_the_training_record():
  assert RECORDED.split(clip("x@0+1", "a", "x")) == "member"
  assert RECORDED.split(clip("y", "b")) == "nonmember"
  assert RECORDED.split(clip("z", "dev")) == "dev"
  assert TUNED.split(clip("x@0+1", "a", "x")) == "member"
  assert TUNED.split(clip("y@0+1", "a", "y")) == "nonmember"


def test_without_a_record_group_a_is_taken_for_the_members():
  model = TrainedModel(name="A", model=None)
  splits = [model.split(clip("x", group)) for group in ("a", "b", "dev", "other")]
  assert splits == ["member", "nonmember", "dev", "dev"]
  assert not model.member_tracks


@pytest.mark.parametrize("model", [RECORDED, TUNED])
@pytest.mark.parametrize("group", ["a", "b", "dev", "reference"])
def test_another_clip_of_a_track_that_was_trained_on_is_no_non_member(model, group):
  with pytest.raises(LsaProbeError, match=r"^x@2\+1: A was trained on track x but not"):
    model.split(clip("x@2+1", group, "x"))


def test_samples_that_were_trained_on_under_another_name_are_no_non_member():
  """As where files were renamed since, or names make other tracks than before."""
  for model, group in ((RECORDED, "b"), (TUNED, "a"), (TUNED, "dev")):
    with pytest.raises(LsaProbeError, match=r"^y@0\+1: A was trained on these samples"):
      model.split(clip("y@0+1", group, "y", "of x@0+1"))


@pytest.mark.parametrize(
  ("bad", "message"),
  [
    (
      clip("x@0+1", "a", "x", "other"),
      r"^x@0\+1: A was trained on other samples under this id",
    ),
    (clip("d", "dev"), "^d: A was trained on this development clip"),
    (clip("w", "a"), "^w: A was trained on group a but not .*members=\\[\\]"),
  ],
)
def test_a_clip_of_no_known_side_is_refused(bad, message):
  with pytest.raises(LsaProbeError, match=message):
    RECORDED.split(bad)
