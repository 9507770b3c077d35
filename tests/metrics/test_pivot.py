import pytest
import toy

from lsaprobe_jax.metrics import pivot


def test_rows_lie_by_what_they_are_told_apart_by():
  rows = toy.rows(("A", "B"))
  found = pivot.pivot(rows, pivot.SETTING, "model", lambda row: row["clip"])
  (setting,) = found
  assert setting == ("toy", "lsa_probe", "mrstft", 0.6, "none")
  assert setting == pivot.setting_of(rows[0])
  assert list(found[setting]) == ["A", "B"]
  assert found[setting]["B"]["c3"] is rows[6]
  assert pivot.pivot([], "model") == {}


def test_two_rows_of_a_kind_are_named():
  rows = toy.rows(("A",))
  with pytest.raises(ValueError, match="two rows for A, c2"):
    pivot.pivot([*rows, rows[1]], "model", "clip")


def test_groups_keep_the_order_of_the_rows():
  rows = toy.rows(("A", "B"))
  found = pivot.groups(reversed(rows), "split")
  assert list(found) == ["member", "nonmember"]
  assert [row["clip"] for row in found["member"]] == ["c4", "c3", "c2", "c1"]
  assert list(pivot.groups(rows, ("model", "split"))) == [
    ("A", "member"), ("A", "nonmember"), ("B", "nonmember"), ("B", "member"),
  ]  # fmt: skip


def test_only_judged_clips_under_targets_are_figures():
  rows = [*toy.rows(), toy.row("A", "c5", 1.0, split="dev")]
  kept = pivot.targets_only(rows)
  assert len(kept) == 8
  assert {row["model"] for row in kept} == {"A", "B"}


def test_the_headline_is_the_mean_where_there_is_one():
  a, mean, null = ({"model": name} for name in ("A", "mean", "reference"))
  assert pivot.headline([a, mean, null]) == [mean]
  assert pivot.headline([a, null]) == [a]
