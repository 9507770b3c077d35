"""benchmarks.rerun: what of an evaluation's rows changes when it is run again."""

import json

import crossover_twins
import numpy as np
import pytest

from benchmarks import rerunning
from lsaprobe_jax.metrics import summary


@pytest.fixture(scope="module")
def rows():
  made = crossover_twins.evaluation()
  return [r for r in made if r["method"] in ("loss", "rediffuse")]


def of(rows):
  return summary.summarise(rows, resamples=10)


def test_nothing_changes_of_the_same_rows(rows):
  found = rerunning.differences((rows, list(reversed(rows))))
  assert {key: own["largest"] for key, own in found.items()} == {
    "loss": 0.0, "rediffuse": 0.0
  }  # fmt: skip
  assert rerunning.of_aucs((of(rows), of(rows))) == {"loss": 0.0, "rediffuse": 0.0}


def test_a_change_is_over_the_spread_of_scores_and_twins_count(rows):
  *others, last = rows
  first, second = last["twin_scores"]
  moved = last | {"twin_scores": [first, second + 0.5]}
  found = rerunning.differences((rows, [*others, moved]))
  own = [r for r in rows if r["method"] == "rediffuse"]
  spread = np.std([x for r in own for x in (r["score"], *r["twin_scores"])])
  assert found["rediffuse"]["largest"] == pytest.approx(0.5 / spread)
  assert found["rediffuse"]["median"] == 0
  assert found["rediffuse"]["rows"] == len(own)
  assert found["loss"]["largest"] == 0


def test_an_auc_that_moves_is_told(rows):
  turned = [
    r | {"score": -r["score"]} if r["method"] == "loss" else r for r in rows
  ]  # fmt: skip
  expected = max(
    abs(1 - 2 * r["auc"])
    for r in of(rows)
    if (r["method"], r["difficulty_calibration"]) == ("loss", "none")
  )
  found = rerunning.of_aucs((of(rows), of(turned)))
  assert found["loss"] == pytest.approx(expected)
  assert found["rediffuse"] == 0


def test_an_evaluation_that_is_not_whole_is_refused(rows, tmp_path, launcher):
  for name, own in (("one", rows), ("other", rows[1:])):
    folder = tmp_path / name
    folder.mkdir()
    lines = "".join(json.dumps(row) + "\n" for row in own)
    (folder / "scores.jsonl").write_text(lines)
    (folder / "summary.json").write_text("[]")
  flags = [f"--first={tmp_path / 'one'}", f"--again={tmp_path / 'other'}"]
  done = launcher.run("benchmarks.rerun", *flags)
  assert done.returncode
  assert "other: 1 rows are in one of the two only" in done.stderr
