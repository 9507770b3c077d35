import crossover
import pytest

from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.metrics import set_comparison, sets


def test_members_are_the_suspects_by_default():
  rows = crossover.rows(effect=2.0)
  found = set_comparison.compare_tracks(rows, draws=5, permutations=99)
  assert found.setting["model"] == "A"
  assert list(found.suspects) == ["members"]
  assert found.suspects["members"] == [t for t in crossover.TRACKS if t[0] == "a"]
  means = [
    sets.track_means([r["score"] for r in own], [r["track"] for r in own])
    for own in (
      [r for r in rows if (r["model"], r["split"]) == ("A", split)]
      for split in ("member", "nonmember")
    )
  ]
  (expected,) = sets.compare_sets(
    {"members": means[0]}, means[1], permutations=99
  ).values()
  assert found.tests["members"] == expected
  written = found.to_dict()
  assert written["method"] == "lsa_probe"
  assert written["sets"]["members"]["p_value"] == expected.p_value
  assert written["null_rejections"]["draws"] == 5
  assert "members" in str(found)
  assert "5 random divisions" in str(found)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (dict(method="pia"), r"^method=pia: known: lsa_probe"),
    (dict(model="C"), r"^model=C: lsa_probe has scored under A, B"),
    (dict(suspects={"x": "zz*"}), r"^suspects=x=zz\*: no such track, of 24"),
    (dict(suspects={"x": "a00"}), r"^suspects: x has 1 tracks"),
    (dict(difficulty_calibration="reference"), r"^difficulty_calibration: nothing"),
    (dict(difficulty_calibration="twins"), r"^difficulty_calibration='twins': 'none'"),
  ],
)
def test_an_argument_that_cannot_be_used_is_named(arguments, message):
  with pytest.raises(ArgumentError, match=message):
    set_comparison.compare_tracks(crossover.rows(), draws=2, **arguments)
