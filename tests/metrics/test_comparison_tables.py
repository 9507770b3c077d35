"""Comparisons in every difficulty calibration, and of twins with a reference model."""

import crossover_twins
import numpy as np
import pytest

from lsaprobe_jax.metrics import (
  comparison_tables,
  comparisons,
  difficulty,
  intervals,
  summary,
)


def test_every_calibration_is_compared_with_the_probe_in_it():
  """One family of all four, and the anchored probe can stand in the probe's place."""
  made = crossover_twins.evaluation()
  rows = made + difficulty.calibrated(made)
  found = comparisons.against(rows)
  four = ["none", "reference", "twins", "both"]
  assert [(r["method"], r["difficulty_calibration"]) for r in found] == [
    *(("loss", by) for by in four),
    *(("lsa_probe_anchored", by) for by in four),
    *(("random_stability", by) for by in four[:2]),
    *(("rediffuse", by) for by in four),
  ]
  adjusted = comparisons.holm([record["p_value"] for record in found])
  assert [record["p_holm"] for record in found] == pytest.approx(adjusted.tolist())
  aucs = {
    (r["method"], r["difficulty_calibration"]): r["auc"]
    for r in summary.summarise(rows, resamples=2)
    if r["model"] == "mean"
  }
  for record in found:
    by = record["difficulty_calibration"]
    assert record["auc_probe"] == pytest.approx(aucs["lsa_probe", by])
  anchored = comparisons.against(rows, "lsa_probe_anchored")
  (probe,) = (
    r
    for r in anchored
    if (r["method"], r["difficulty_calibration"]) == ("lsa_probe", "twins")
  )
  (other,) = (
    r
    for r in found
    if (r["method"], r["difficulty_calibration"]) == ("lsa_probe_anchored", "twins")
  )
  assert probe["difference"] == pytest.approx(-other["difference"])
  assert probe["p_value"] == pytest.approx(other["p_value"])
  text = comparison_tables.format_comparisons(anchored, probe="lsa_probe_anchored")
  assert "  minus lsa_probe_anchored [95% by track]  " in text
  assert text.endswith("p Holm: corrected for their number.")


def test_twins_are_compared_with_the_reference_model():
  """The same paired contrast of means as any other, by hand for one method."""
  rows = crossover_twins.evaluation()
  both = rows + difficulty.calibrated(rows)
  found = comparisons.twins_against_reference(both)
  methods = ["loss", "lsa_probe", "lsa_probe_anchored", "rediffuse"]
  assert [(r["method"], r["model"]) for r in found] == [(m, "mean") for m in methods]
  lanes = [
    {
      row["clip"]: row
      for row in both
      if (row["method"], row["difficulty_calibration"], row["model"])
      == ("loss", by, model)
    }
    for by in ("twins", "reference")
    for model in "AB"
  ]
  clips = sorted(lanes[0])
  scores = [[lane[clip]["score"] for clip in clips] for lane in lanes]
  labels = [[lane[clip]["split"] == "member" for clip in clips] for lane in lanes]
  tracks = [lanes[0][clip]["track"] for clip in clips]
  estimate = intervals.clustered_auc(np.array(scores), np.array(labels), tracks)
  expected = comparisons.compare(estimate, [0.5, 0.5, -0.5, -0.5])
  loss = found[0]
  assert loss["difference"] == pytest.approx(expected.difference)
  assert loss["p_value"] == pytest.approx(expected.p_value)
  assert loss["ci"] == pytest.approx(expected.ci)
  assert loss["auc_twins"] - loss["auc_reference"] == pytest.approx(loss["difference"])
  # The clip's four and two twins' eight, against the four under either model.
  assert (loss["nfe_twins"], loss["nfe_reference"]) == (12, 8)
  assert (loss["n"], loss["n_tracks"]) == (24, 24)
  adjusted = comparisons.holm([record["p_value"] for record in found])
  assert [record["p_holm"] for record in found] == pytest.approx(adjusted.tolist())
  header, _, first, *_ = comparison_tables.format_twins(found).splitlines()
  assert "by twins  by ref  twins minus ref [95% by track]" in header
  assert first.split()[:2] == ["loss", "mean"]
  assert f"{loss['auc_twins']:.3f}     {loss['auc_reference']:.3f}" in first
  assert f"{loss['difference']:+.3f} [" in first


def test_without_twins_or_a_reference_there_is_nothing_to_compare():
  rows = crossover_twins.evaluation()
  only_twins = [row for row in rows if row["model"] != "reference"]
  for own in (rows + difficulty.by_reference(rows), only_twins):
    assert comparisons.twins_against_reference(own) == []
  found = difficulty.calibrated(only_twins)
  assert {row["difficulty_calibration"] for row in found} == {"twins"}
  assert comparisons.twins_against_reference(only_twins + found) == []


def test_both_comparisons_fit_one_narrow_table():
  rows = crossover_twins.evaluation()
  rows += difficulty.calibrated(rows)
  against, twins = comparisons.against(rows), comparisons.twins_against_reference(rows)
  text = comparison_tables.format_side_by_side(against, twins)
  header, rule, *lines = text.splitlines()
  assert len(rule) <= 100
  assert header.split("  ")[0] == "minus the probe:"
  columns = [header.index(name) for name in ("raw", "by twins", "twins minus ref")]
  by_method = {line.split()[0]: line for line in lines[:5]}
  assert by_method.keys() == set(crossover_twins.METHODS)
  cells = lambda method: [by_method[method][at:].split("  ")[0] for at in columns]
  (raw,) = (
    r for r in against if (r["method"], r["difficulty_calibration"]) == ("loss", "none")
  )
  p = f"{raw['p_holm']:.3f}".removeprefix("0")
  assert cells("loss")[0] == f"{raw['difference']:+.3f} ({p})"
  assert cells("random_stability")[1:] == ["-", "-"]
  assert cells("lsa_probe")[:2] == ["-", "-"]
  assert f"all {len(against)} differences" in text
  assert f"over the {len(twins)} of twins" in text
  few = comparison_tables.format_side_by_side(against, twins, ("loss",)).splitlines()
  assert [line.split()[0] for line in few[2:3]] == ["loss"]
  assert few[3:] == lines[5:]
  alone = comparison_tables.format_side_by_side(against, [])
  assert "twins minus ref" not in alone
  assert "of twins" not in alone
