import math
import random
import re

import crossover
import numpy as np
import pytest
import toy

from lsaprobe_jax.metrics import (
  bootstrap,
  difficulty,
  gates,
  intervals,
  record_tables,
  roc,
  summary,
)

KEYS = [
  *("method", "model", "corpus", "distance", "t_ratio", "difficulty_calibration"),
  *("n_member", "n_nonmember", "n_tracks", "n_dropped"),
  *("auc", "auc_ci", "auc_ci_delong", "tpr", "tpr_ci", "fpr_realised"),
  *("false_positives", "flagged", "ties", "precision"),
  *("n_dev", "tpr_dev_cutoff", "fpr_dev_cutoff", "reached"),
  *("nfe_forward", "nfe_backward", "seconds"),
]


def _summarise(rows, **settings):
  return summary.summarise(rows, resamples=50, **settings)


def test_cross_over_by_hand():
  records = _summarise(toy.rows())
  assert [r["model"] for r in records] == ["A", "B", "mean", "reference"]
  assert [r["auc"] for r in records] == [0.75, 1, 0.875, 0.625]
  assert all(list(record) == KEYS for record in records)
  a, _, mean, _ = records
  assert (a["n_member"], a["n_nonmember"], a["n_tracks"]) == (2, 2, 4)
  assert (mean["n_member"], mean["n_nonmember"], mean["n_tracks"]) == (4, 4, 4)
  assert mean["n_dropped"] == 0
  # Two non-members say nothing of a rate below a third.
  assert a["tpr"] == mean["tpr"] == dict.fromkeys(("0.001", "0.01", "0.05"))
  assert mean["tpr_ci"]["0.05"] is None
  assert set(mean["precision"]["0.05"].values()) == {None}
  assert mean["fpr_realised"]["0.05"] == mean["false_positives"]["0.05"] == 0
  assert all(mean["flagged"].values())
  assert mean["reached"] == 0.75
  assert (mean["nfe_forward"], mean["nfe_backward"]) == (10, 8)
  assert mean["seconds"] == 0.5
  assert mean["auc_ci"][0] < 0.875 < mean["auc_ci"][1]
  assert mean["auc_ci"] == mean["auc_ci_delong"]  # one clip a track
  a, _, mean, _ = _summarise(toy.rows(), targets=(0.34,))
  assert (a["tpr"]["0.34"], mean["tpr"]["0.34"]) == (0.5, 0.75)
  low, high = mean["tpr_ci"]["0.34"]
  assert low <= 0.75 <= high


@pytest.mark.parametrize(
  ("target", "known"), [(0.05, True), (0.04, True), (0.0384, False)]
)
def test_a_target_below_one_in_n_plus_one_is_not_estimable(target, known):
  """25 non-members: 1 / 26 is 0.03846."""
  rng, rows = np.random.default_rng(0), []
  for i in range(50):
    side = "ab"[i % 2]
    changes = dict(clip=f"c{i}", track=f"t{i}", group=side)
    changes["split"] = "member" if side == "a" else "nonmember"
    rows.append(toy.row("target", "c1", rng.normal()) | changes)
  (record,) = _summarise(rows, targets=(target,))
  assert (record["tpr"][str(target)] is not None) == known
  assert (record["tpr_ci"][str(target)] is not None) == known
  line = record_tables.format_table([record]).splitlines()[2]
  assert ("not estimable" not in line) == known
  assert (record_tables.NOT_ESTIMABLE in record_tables.format_table([record])) != known


def test_false_positives_of_a_mean_are_summed_and_rates_averaged():
  mean = _summarise(toy.rows(), targets=(0.5,))[2]
  # A at 0.5: c3 (3.0) is let in with c1 and c2. B: c2 (2.0) is let in, tpr 1.
  assert mean["tpr"] == {"0.5": 1}
  assert mean["false_positives"] == {"0.5": 2}
  assert mean["fpr_realised"] == {"0.5": 0.5}


def _development(model, scores, clips=1):
  return [
    toy.row(model, "c5", score, group="dev", split="dev")
    | {"clip": f"dev{i}", "track": f"dev{i // clips}"}
    for i, score in enumerate(scores)
  ]


def test_cutoffs_come_from_the_development_clips_of_the_same_model():
  dev_a = _development("A", [2.5, 0.0, 0.0, 0.0, 9.0])  # a third: above 2.5
  dev_b = _development("B", [3.0, 1.0, 1.0, 0.5, 5.0])  # a third: above 3.0
  other = [row | {"method": "loss"} for row in _development("A", [99.0] * 5)]
  rows = toy.rows(("A", "B")) + dev_a + dev_b + other
  a, b, mean = _summarise(rows, targets=(0.1, 0.34))
  assert [r["n_dev"] for r in (a, b, mean)] == [5, 5, 10]
  assert a["tpr_dev_cutoff"] == {"0.1": None, "0.34": 0.5}  # c1; c2 at 2.0 is below
  assert a["fpr_dev_cutoff"] == {"0.1": None, "0.34": 0.5}  # c3 at 3.0
  assert b["tpr_dev_cutoff"]["0.34"] == 0.5  # c4; c3 ties with the cut
  assert b["fpr_dev_cutoff"]["0.34"] == 0
  assert mean["tpr_dev_cutoff"] == {"0.1": None, "0.34": 0.5}
  assert mean["fpr_dev_cutoff"]["0.34"] == 0.25
  # The judged clips themselves are not touched by any of this.
  without = _summarise(toy.rows(("A", "B")), targets=(0.1, 0.34))
  assert [r["auc"] for r in without] == [r["auc"] for r in (a, b, mean)]
  assert without[2]["tpr_dev_cutoff"] == {"0.1": None, "0.34": None}
  # A mean needs both models' cutoffs.
  half = _summarise(toy.rows(("A", "B")) + dev_a, targets=(0.34,))
  assert [r["tpr_dev_cutoff"]["0.34"] for r in half] == [0.5, None, None]


def test_clips_of_a_development_track_count_once_by_the_highest():
  scores = [2.5, 0.0, 0.0, 0.0, 9.0, 1.0]
  pairs, six = (_development("A", scores, clips) for clips in (2, 1))
  (few,), (many,) = (
    _summarise(toy.rows(("A",)) + dev, targets=(0.2, 0.25)) for dev in (pairs, six)
  )
  assert (few["n_dev"], many["n_dev"]) == (3, 6)
  # Three tracks allow one in four, six one in seven. Both cut at 9, above all members.
  assert few["tpr_dev_cutoff"] == {"0.2": None, "0.25": 0}
  assert many["tpr_dev_cutoff"] == {"0.2": 0, "0.25": 0}


def test_calibrated_rows_have_no_cutoff_unless_the_reference_saw_the_dev_clips():
  rows = toy.rows() + _development("A", [1.0, 2.0]) + _development("B", [1.0, 2.0])
  records = _summarise(rows + difficulty.by_reference(rows), targets=(0.7,))
  found = {
    (r["model"], r["difficulty_calibration"]): r["tpr_dev_cutoff"]["0.7"]
    for r in records
  }
  assert (found["mean", "reference"], found["mean", "none"]) == (None, 1)
  rows += _development("reference", [1.0, 0.0])
  records = _summarise(rows + difficulty.by_reference(rows), targets=(0.7,))
  (a,) = (
    r
    for r in records
    if (r["model"], r["difficulty_calibration"]) == ("A", "reference")
  )
  # Less the reference: 0 and 2 on dev, so the cut is 0; c1 and c2 have 3 and 2.
  assert (a["n_dev"], a["tpr_dev_cutoff"]["0.7"]) == (2, 1)


def test_operating_points_read_as_text():
  blind = [row | {"method": "blind"} for row in toy.rows(("A",))]
  single = [row | {"method": "loss"} for row in toy.rows(("A",))]
  dev = _development("A", [0.0] * 20)
  records = _summarise(
    toy.rows() + blind + single + [r | {"method": "loss"} for r in dev]
  )
  header, rule, *lines = record_tables.format_operating_points(records).splitlines()
  assert set(rule) == {"-"}
  assert [line.split()[:2] for line in lines[:6]] == [
    *[["loss", "A"]] * 3,
    *[["lsa_probe", "mean"]] * 3,
  ]
  column = header.index("TPR% (FPR%) cut on dev")
  cells = [line[column:].split("  ")[0] for line in lines[:6]]
  # The cut of 20 clips is known at 5%: everything lies above 0.
  assert cells == [*["not estimable"] * 2, "100.0 (100.0)", *["not estimable"] * 3]
  column = header.index("TPR% (FPR%) on ROC")
  assert all(line[column:].startswith("not estimable") for line in lines[:6])
  own = record_tables.format_operating_points(_summarise(single, targets=(0.34,)))
  assert "50.0 (0.0)*" in own
  assert record_tables.format_operating_points([]).startswith("method")


def test_a_clip_that_failed_under_one_model_leaves_the_mean_only():
  rows = [*toy.rows(("A", "B")), toy.row("A", "c5", 9.0, group="a", split="member")]
  records = {r["model"]: r for r in _summarise(rows)}
  assert records["A"]["n_member"] == 3
  assert records["A"]["n_dropped"] == 0
  assert records["mean"]["n_member"] == 4
  assert records["mean"]["n_dropped"] == 1
  assert records["mean"]["auc"] == 0.875


def test_single_target_and_splits_that_do_not_enter():
  rows = [toy.row("target", c, s, reached=None) for c, s in toy.SCORES["A"].items()]
  extra = [toy.row("target", "c5", 99.0, group="dev", split="dev")]
  (record,) = _summarise(rows + extra)
  assert (record["model"], record["auc"], record["n_tracks"]) == ("target", 0.75, 4)
  assert record["reached"] is None


def test_one_track_a_side_has_no_interval():
  rows = [{**row, "track": row["group"]} for row in toy.rows(("A",))]
  (record,) = _summarise(rows)
  assert record["auc_ci"] is None
  assert record["tpr_ci"]["0.05"] is None
  assert "[-]" in record_tables.format_table([record])
  assert "NOT ESTABLISHED" in gates.format_gates([{**record, "method": "blind"}])


def test_intervals_are_those_of_the_modules():
  rng = np.random.default_rng(0)
  rows = [
    toy.row("A", clip, float(rng.normal()), track=f"{clip}-{i // 2}")
    | {"clip": f"{clip}-{i}"}
    for clip in toy.SCORES["A"]
    for i in range(10)
  ]
  (record,) = _summarise(rows)
  scores = [row["score"] for row in rows]
  labels = [row["split"] == "member" for row in rows]
  tracks = [row["track"] for row in rows]
  expected = intervals.auc_ci(scores, labels, tracks)
  np.testing.assert_allclose(record["auc_ci"], expected)
  np.testing.assert_allclose(record["auc_ci_delong"], intervals.auc_ci(scores, labels))
  (blind,) = _summarise([{**row, "method": "blind"} for row in rows])
  wider = intervals.auc_ci(scores, labels, tracks, cross_fitted=True)
  np.testing.assert_allclose(blind["auc_ci"], wider)


def test_a_bootstrap_remembers_only_what_it_was_asked():
  rng = np.random.default_rng(3)
  names = [f"c{i}" for i in range(40)]
  rows = []
  for i, name in enumerate(names):
    side = "ab"[i % 2]
    split = "member" if side == "a" else "nonmember"
    changes = dict(clip=name, track=name, group=side, split=split)
    rows.append(toy.row("target", "c1", rng.normal()) | changes)
  several, one = (0.05, 0.1, 0.3), (0.2,)
  for seed, targets in ((0, several), (1, several), (0, one)):
    (record,) = summary.summarise(rows, targets, resamples=37, seed=seed)
    direct = bootstrap.resample(
      [[row["score"] for row in rows]],
      [row["split"] == "member" for row in rows],
      names,
      [row["group"] for row in rows],
      targets,
      resamples=37,
      seed=seed,
    )
    expected = []
    for values, rate in zip(direct.tpr[0], record["tpr"].values(), strict=True):
      low, high = bootstrap.percentile_ci(values)
      exact = roc.tpr_bounds(rate, 20)
      expected.append((min(low, exact[0]), max(high, exact[1])))
    np.testing.assert_allclose(list(record["tpr_ci"].values()), expected)


def test_records_of_other_rows_are_refused():
  made = crossover.rows("loss")[:-1]
  null = crossover.rows("loss", 1, 0.0, models=("reference",))
  # What the reference scored beside the judged clips is no part of its control.
  dev = {"clip": "d0@0", "track": "d0", "group": "dev", "split": "dev", "score": 9.0}
  made += [*null, null[0] | dev]
  records = summary.summarise(made, resamples=20)
  summary.check(made, records)
  assert {r["model"] for r in records} == {"A", "B", "mean", "reference"}
  for record in records:
    for change in ({"auc": record["auc"] - 1e-3}, {"n_member": 0}):
      with pytest.raises(ValueError, match=rf"loss under {record['model']} is not of"):
        summary.check(made, [record | change])


def test_order_of_rows_does_not_matter():
  rows = toy.rows() + difficulty.by_reference(toy.rows())
  shuffled = rows.copy()
  random.Random(0).shuffle(shuffled)
  assert _summarise(shuffled) == _summarise(rows)


def test_refuses_rows_that_contradict():
  rows = toy.rows(("A", "B"))
  with pytest.raises(ValueError, match=r"two rows for .*c1"):
    _summarise([*rows, rows[0]])
  with pytest.raises(ValueError, match=r"lsa_probe.*1 of 4 scores are NaN"):
    _summarise([{**rows[0], "score": math.nan}, *rows[1:]])
  with pytest.raises(ValueError, match=r"same split under A and B, e\.g\. c1"):
    _summarise([{**row, "split": "member"} for row in rows])
  with pytest.raises(ValueError, match="0 non-members"):
    _summarise(rows[:2])
  split = [{**row, "track": "t"} for row in rows]
  with pytest.raises(ValueError, match=r"1 tracks have clips on both sides, e\.g\. t:"):
    _summarise(split)


def test_gates_and_table_read_as_text():
  blind = [toy.row("A", c, s, method="blind", distance=None, t_ratio=None, reached=None)
           for c, s in toy.SCORES["A"].items()]  # fmt: skip
  records = _summarise(toy.rows() + blind)
  first, second = gates.format_gates(records).splitlines()
  assert first.startswith("blind baseline, A against B (toy): AUC 0.750 [")
  assert re.search(
    r"contains 0.5; an AUC of this classifier within 0\.\d+ of 0.5 would not be", first
  )
  assert second.startswith("null control, lsa_probe mrstft t = 0.6 T (toy): AUC 0.625")
  leaking = [{**r, "auc_ci": [0.6, 0.8]} for r in records]
  assert "does not contain 0.5: THE SPLIT LEAKS" in gates.format_gates(leaking)
  assert "THE NULL CONTROL FAILS" in gates.format_gates(leaking)
  assert gates.format_gates([]).count("NOT RUN") == 2
  # A score that does not vary would hold whatever the models saw.
  still = {**records[0], "auc": 0.5, "auc_ci": [0.5, 0.5], "method": "blind"}
  assert gates.read([still])[0]["holds"] is None
  assert "its scores do not vary: NOT ESTABLISHED" in gates.format_gates([still])
  # In short where they hold; what failed or was not run stays as it is.
  brief = gates.brief_gates(records).splitlines()
  assert brief[0] == first.partition("; an AUC of")[0]
  assert brief[1:] == ["null control, the reference's own scores: 1 of 1 contain 0.5"]
  for bad in (leaking, [], [r for r in records if r["method"] != "blind"]):
    assert gates.brief_gates(bad) == gates.format_gates(bad)
  header, rule, *lines = record_tables.format_table(records).splitlines()
  assert set(rule) == {"-"}
  assert [line.split()[:2] for line in lines[:4]] == [
    ["blind", "A"],
    ["lsa_probe", "A"],
    ["lsa_probe", "B"],
    ["lsa_probe", "mean"],
  ]
  column = header.index("AUC")
  assert [line[column : column + 5] for line in lines[:4]] == [
    *("0.750", "0.750", "1.000", "0.875")
  ]
  assert lines[-2].startswith("* fewer than 10")
  assert lines[-1] == record_tables.NOT_ESTIMABLE
  assert "method" in record_tables.format_table([])
