import math

import crossover
import numpy as np
import pytest
from scipy import stats

from lsaprobe_jax.metrics import (
  comparison_tables,
  comparisons,
  difficulty,
  intervals,
  summary,
)


def _estimate(auc, covariance, clusters=40):
  half = np.full(len(auc), clusters // 2)
  return intervals.AucEstimate(
    np.array(auc), np.array(covariance), half, half, 2 * half
  )


def test_paired_difference_by_hand():
  estimate = _estimate([0.8, 0.7], [[0.0025, 0.001], [0.001, 0.0016]])
  result = comparisons.compare(estimate)
  error = math.sqrt(0.0025 + 0.0016 - 0.002)
  assert result.difference == pytest.approx(0.1)
  assert result.standard_error == pytest.approx(error)
  assert result.p_value == pytest.approx(2 * stats.t.sf(0.1 / error, 38))
  # The interval touches 0 at the level of the p-value.
  touching = comparisons.compare(estimate, confidence=1 - result.p_value)
  assert touching.ci[0] == pytest.approx(0, abs=1e-12)


def test_pairing_and_clusters_matter():
  """Two methods on a cross-over of alike clips; the second is the first with noise."""
  rng = np.random.default_rng(0)
  track = np.repeat(np.arange(30), 5)
  side = track < 15
  labels = np.stack([side, ~side])
  first = rng.normal(size=30)[track] + labels + rng.normal(size=(2, 150))
  second = first + 0.5 * rng.normal(size=(2, 150))
  estimate = intervals.clustered_auc(
    np.concatenate([first, second]), np.tile(labels, (2, 1)), track
  )
  weights = np.array([0.5, 0.5, -0.5, -0.5])
  paired = comparisons.compare(estimate, weights)
  assert paired.statistic == pytest.approx(
    (estimate.auc @ weights) / math.sqrt(weights @ estimate.covariance @ weights)
  )
  _, apart, _ = intervals.standard_error(estimate, [0.5, 0.5, 0, 0])
  assert paired.standard_error < apart


def test_p_values_are_uniform_without_a_difference():
  rng = np.random.default_rng(1)
  track = np.repeat(np.arange(40), 3)
  labels = track < 20
  p_values = []
  for _ in range(300):
    shared = rng.normal(size=40)[track] + labels
    scores = shared + rng.normal(size=(2, 120))
    estimate = intervals.clustered_auc(scores, labels, track)
    p_values.append(comparisons.compare(estimate).p_value)
  assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_edges():
  same = comparisons.compare(_estimate([0.7, 0.7], np.full((2, 2), 0.01)))
  assert (same.difference, same.p_value) == (0, 1)
  none = comparisons.compare(_estimate([1.0, 0.5], np.zeros((2, 2))))
  assert math.isnan(none.p_value)
  with pytest.raises(ValueError, match="sum to 0"):
    comparisons.compare(_estimate([0.7, 0.7], np.eye(2)), [1, 1])


def test_holm_by_hand():
  # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04 -> 0.06.
  adjusted = comparisons.holm([0.01, 0.04, 0.03, 0.005])
  np.testing.assert_allclose(adjusted, [0.03, 0.06, 0.06, 0.02])
  np.testing.assert_allclose(comparisons.holm([0.9, 0.6]), [1, 1])
  assert comparisons.holm([]).size == 0
  for bad in ([0.1, np.nan], [1.1], [-0.1]):
    with pytest.raises(ValueError, match="lie in"):
      comparisons.holm(bad)


def test_rank_correlations_of_hand_made_rows():
  def rows(method, model, scores):
    return [
      {
        "method": method,
        "model": model,
        "clip": str(i),
        "difficulty_calibration": "none",
      }
      | {"score": score}
      for i, score in enumerate(scores)
    ]

  found = comparisons.rank_correlations(
    rows("probe", "A", [1.0, 2.0, 3.0, 4.0])
    + rows("same", "A", [0.1, 0.2, 30.0, 40.0])
    + rows("reverse", "A", [4.0, 3.0, 2.0, 1.0])
    # d^2 = 0, 1, 1, 0: rho = 1 - 6 * 2 / (4 * 15).
    + rows("swapped", "A", [1.0, 3.0, 2.0, 4.0])
    + rows("probe", "reference", [1.0, 2.0, 3.0])
    + rows("same", "reference", [1.0, 2.0, 3.0])
    + rows("few", "A", [1.0, 2.0]),
    "probe",
  )
  assert found == {
    ("reverse", "A"): pytest.approx(-1.0),
    ("same", "A"): pytest.approx(1.0),
    ("swapped", "A"): pytest.approx(0.8),
  }


def _sided(rows, models, sign):
  """The rows with scores that are exactly those of the probe, or their negatives."""
  probe = {(r["model"], r["clip"]): r["score"] for r in crossover.rows()}
  return [
    row | {"score": sign * probe[row["model"], row["clip"]]}
    for row in rows
    if row["model"] in models
  ]


def test_every_setting_is_compared_with_the_probe():
  """Against the contrast of `clustered_auc` by hand, and Holm over the family."""
  probe = crossover.rows("lsa_probe", seed=0, effect=0.2)
  loss = crossover.rows("loss", seed=1)
  late = crossover.rows("loss", seed=2, effect=3.0, t_ratio=0.8)
  blind = crossover.rows("blind", seed=3, models=("A",))
  control = crossover.rows("loss", seed=4, models=("reference",))
  found = comparisons.against(probe + loss + late + blind + control)
  assert [(r["method"], r["t_ratio"], r["model"]) for r in found] == [
    *[("loss", 0.4, "mean"), ("loss", 0.8, "mean")]
  ]
  lanes = [[r for r in rows if r["model"] == m] for rows in (loss, probe) for m in "AB"]
  estimate = intervals.clustered_auc(
    [[row["score"] for row in lane] for lane in lanes],
    [[row["split"] == "member" for row in lane] for lane in lanes],
    [row["track"] for row in lanes[0]],
  )
  by_hand = comparisons.compare(estimate, (0.5, 0.5, -0.5, -0.5))
  first, second = found
  assert first["difference"] == pytest.approx(by_hand.difference)
  assert first["ci"] == pytest.approx(list(by_hand.ci))
  assert first["p_value"] == pytest.approx(by_hand.p_value)
  assert first["auc"] - first["auc_probe"] == pytest.approx(first["difference"])
  assert (first["n"], first["n_tracks"]) == (24, 24)
  adjusted = comparisons.holm([first["p_value"], second["p_value"]])
  assert [r["p_holm"] for r in found] == pytest.approx(adjusted.tolist())
  # Three standard deviations are better than the probe's 0.2.
  assert second["difference"] > 0
  assert second["p_holm"] < 0.05


def test_calibrated_is_compared_with_the_calibrated_probe():
  rows = []
  for seed, method in enumerate(("lsa_probe", "loss")):
    rows += crossover.rows(method, seed)
    rows += crossover.rows(method, seed + 9, 0.0, models=("reference",))
  rows += crossover.rows("pia", seed=5)  # has no reference
  found = comparisons.against(rows + difficulty.by_reference(rows))
  assert [(r["method"], r["difficulty_calibration"]) for r in found] == [
    *[("loss", "none"), ("loss", "reference"), ("pia", "none")]
  ]
  table = {(r["method"], r["difficulty_calibration"]): r["auc"] for r in _means(rows)}
  for record in found:
    assert record["auc"] == pytest.approx(
      table[record["method"], record["difficulty_calibration"]]
    )
    probe = table["lsa_probe", record["difficulty_calibration"]]
    assert record["auc_probe"] == pytest.approx(probe)


def test_the_advantage_is_the_probes_and_says_what_is_beyond_chance():
  """Both tables by hand, at three values of which the third has no matched form."""
  rows = []
  effects = {
    "lsa_probe": 0.2,
    "loss": 0.3,
    "loss_nfe_matched": 4.0,
    "pia_nfe_matched": 0.2,
  }
  for seed, (method, effect) in enumerate(effects.items()):
    spent = {"nfe_forward": 70, "nfe_backward": 34}
    if method != "lsa_probe":
      spent = {"nfe_forward": 60 if method == "pia_nfe_matched" else 104}
    rows += crossover.rows(method, seed, effect, **spent)
    rows += crossover.rows(method, seed + 9, 0.0, models=("reference",), **spent)
  # The second value has no rows of a reference, the third no baseline in both forms.
  kept = {
    1: rows,
    2: [row for row in rows if row["model"] != "reference"],
    3: [row for row in rows if row["method"] != "loss"],
  }
  records = []
  for value, own in kept.items():
    found = comparisons.against(own + difficulty.by_reference(own))
    records += [record | {"ablation": "steps", "value": value} for record in found]
  raw, less, note = comparison_tables.format_advantage(records, ["loss", "pia"]).split(
    "\n\n"
  )
  head, _, first, second = raw.splitlines()
  names = "minus loss | minus loss_nfe_matched | minus pia | minus pia_nfe_matched |"
  assert head == f"| ablation | value | lsa_probe | {names}"
  shown = [r for r in records if r["value"] != 3]
  assert f"corrected over all {len(shown)} differences" in note
  by = {
    (r["value"], r["method"], r["difficulty_calibration"]): r
    for r in comparisons.corrected(shown)
  }
  loss, most, pia = (
    by[1, m, "none"] for m in ("loss", "loss_nfe_matched", "pia_nfe_matched")
  )
  assert most["p_holm"] < 0.05 < min(loss["p_holm"], pia["p_holm"])
  assert (most["nfe"], most["nfe_probe"]) == (104, 104)
  expected = [
    f"{most['auc_probe']:.3f}",
    f"{loss['auc_probe'] - loss['auc']:+.3f}",
    f"**{most['auc_probe'] - most['auc']:+.3f}**",
    "",
    # Not the probe's 104 evaluations.
    f"{pia['auc_probe'] - pia['auc']:+.3f}(!)",
  ]
  assert first == f"| steps | 1 | {' | '.join(expected)} |"
  assert second == first.replace("| 1 |", "| 2 |")
  head, _, *lines = less.splitlines()
  assert head == f"| ablation | value | lsa_probe by reference | {names}"
  assert len(lines) == 1
  most = by[1, "loss_nfe_matched", "reference"]
  difference = f"{most['auc_probe'] - most['auc']:+.3f}"
  bold = f"**{difference}**" if most["p_holm"] < 0.05 else difference
  assert f" | {most['auc_probe']:.3f} | " in lines[0]
  assert f" | {bold} |  | " in lines[0]


def test_the_advantage_over_single_models_names_them():
  rows = []
  for seed, method in enumerate(("lsa_probe", "loss", "loss_nfe_matched")):
    for model in ("A", "C"):
      made = crossover.rows(method, seed, 0.5, models=("A",))
      rows += [row | {"model": model} for row in made]
  records = comparisons.against(rows)
  records = [record | {"ablation": "main", "value": ""} for record in records]
  text = comparison_tables.format_advantage(records, ["loss"])
  assert "| main |  (A) | " in text
  assert "| main |  (C) | " in text
  alone = [record for record in records if record["method"] == "loss"]
  assert comparison_tables.format_advantage(alone, ["loss"]) == ""


def _means(rows):
  rows = rows + difficulty.calibrated(rows)
  return [r for r in summary.summarise(rows, resamples=2) if r["model"] == "mean"]


def test_only_clips_that_both_have_scored_count():
  probe, loss = crossover.rows(), crossover.rows("loss", seed=1)
  gone = {"a00@0", "b05@0"}
  # One is missing under A alone, the other from the probe alone.
  probe_part = [r for r in probe if r["clip"] != "b05@0"]
  loss_part = [r for r in loss if (r["clip"], r["model"]) != ("a00@0", "A")]
  (found,) = comparisons.against(probe_part + loss_part)
  (expected,) = comparisons.against(
    [row for row in probe + loss if row["clip"] not in gone]
  )
  assert found == expected
  assert found["n"] == 22


def test_without_a_cross_over_the_one_target_is_compared():
  rows = _sided(crossover.rows("opposite"), ("A",), -1) + crossover.rows()
  (found,) = comparisons.against(rows)
  assert found["model"] == "A"
  assert found["auc"] == pytest.approx(1 - found["auc_probe"])
  same = _sided(crossover.rows("same"), ("A", "B"), 1) + crossover.rows()
  (found,) = comparisons.against(same)
  assert (found["difference"], found["p_value"]) == (0, 1)


def test_what_has_no_p_value_is_not_counted_in_the_correction():
  one_track = crossover.rows("pia", seed=2, corpus="other")
  one_track += crossover.rows("lsa_probe", seed=3, corpus="other")
  rows = [row | {"track": row["group"]} for row in one_track]
  rows += crossover.rows() + crossover.rows("loss", seed=1)
  pia, loss = sorted(comparisons.against(rows), key=lambda r: r["method"] == "loss")
  assert pia["ci"] is pia["p_value"] is pia["p_holm"] is None
  assert loss["p_holm"] == loss["p_value"]
  lines = comparison_tables.format_comparisons([pia, loss]).splitlines()
  assert "[-]" in lines[2]
  assert lines[3].split()[:2] == ["loss", "mean"]
  assert f"{loss['difference']:+.3f} [" in lines[3]
  assert comparison_tables.format_comparisons([]).startswith("method")


def test_the_family_wise_error_of_baselines_that_are_no_better():
  """Four baselines with the probe's own effect: Holm rejects any in about 5%."""
  rejected = []
  for draw in range(150):
    rows = [
      row
      for i, name in enumerate(("lsa_probe", "loss", "pia", "sima", "secmi"))
      for row in crossover.rows(name, seed=1000 + 5 * draw + i)
    ]
    rejected.append(min(r["p_holm"] for r in comparisons.against(rows)) <= 0.05)
  assert stats.binomtest(sum(rejected), 150, 0.05, "greater").pvalue > 0.01


def test_refuses_a_probe_that_is_not_one():
  rows = crossover.rows() + crossover.rows(seed=1, t_ratio=0.8)
  with pytest.raises(ValueError, match=r"several settings.*None, 0\.4; None, 0\.8"):
    comparisons.against(rows)
  (found,) = comparisons.against(rows, t_ratio=0.8)
  assert found["t_ratio"] == 0.4
  with pytest.raises(ValueError, match="no rows of pia; known: lsa_probe"):
    comparisons.against(rows, "pia")
  with pytest.raises(ValueError, match="two rows for"):
    comparisons.against(crossover.rows() + crossover.rows())
  half = [row for row in crossover.rows("loss") if row["group"] == "a"]
  with pytest.raises(ValueError, match=r"loss.*score both on the same clips"):
    comparisons.against(crossover.rows() + half)
