"""D of the anchored probe at a budget as a score of its own."""

import numpy as np
import pytest
import toy

from lsaprobe_jax.metrics import budgets


def rows():
  made = []
  for model, members in (("A", "c1 c2"), ("B", "c3 c4")):
    for i, clip in enumerate(("c1", "c2", "c3", "c4")):
      member = clip in members.split()
      rest = (0.5 if member else 1.0) * (i + 1)
      # The push drowns what rest tells.
      curve = [rest + 1, 100.0 + i]
      made.append(
        toy.row(model, clip, 1.0)
        | {
          "method": budgets.ANCHORED,
          "split": "member" if member else "nonmember",
          "budgets": [0.1, 0.8],
          "degradations": curve,
          "rest": rest,
          "twins": "polarity",
          "twin_scores": [1.0],
          "twin_nfe_forward": 1,
          "twin_nfe_backward": 0,
          "twin_degradations": [[i + 2.0, 100.0 + i]],
          "twin_rest": [float(i + 1)],
        }
      )
  return made


def test_the_worst_within_a_budget_is_the_score():
  (first, *_) = budgets.rows_at(rows(), None)
  assert (first["score"], first["twin_scores"]) == (-0.5, [-1.0])
  (first, *_) = budgets.rows_at(rows(), 0)
  assert (first["score"], first["twin_scores"]) == (-1.5, [-2.0])
  lower = [row | {"degradations": [9.0, 2.0]} for row in rows()]
  assert budgets.rows_at(lower, 1)[0]["score"] == -9.0
  assert first["magnitude"]


def test_auc_by_budget_falls_where_the_push_drowns_it():
  found = dict(budgets.by_budget(rows()))
  assert list(found) == pytest.approx([0.0, 0.1, 0.8])
  assert found[0.0]["twins"]["auc"] == 1
  assert found[0.8]["twins"]["auc"] == pytest.approx(0.5)
  assert np.isfinite(found[0.1]["none"]["auc"])


def test_the_table_has_a_line_a_budget_and_none_without_curves():
  lines = budgets.format_by_budget(rows()).splitlines()
  assert lines[2].startswith("| no push |")
  assert lines[-1].startswith("| 0.80 |")
  assert "| - |" in lines[2]
  assert budgets.format_by_budget(toy.rows()) == ""
