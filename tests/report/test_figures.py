import functools

import crossover_twins
import numpy as np
from crossover import rows

from lsaprobe_jax.metrics import difficulty, study, summary
from lsaprobe_jax.report import figures, headline

summarise = functools.partial(summary.summarise, resamples=20)


def test_the_same_rows_draw_the_same_bytes(tmp_path):
  made = rows() + rows("loss", seed=1)
  values = [row | {"value": value} for value in (1, 2) for row in made]
  written = []
  for attempt in "12":
    records = summarise(made)
    tidy = study.ablation_records("draws", values, summarise)
    roc = figures.roc_curves(made, [("lsa_probe", "none"), ("loss", "none")])
    for name, figure in (
      ("methods", figures.methods(records)),
      ("draws", figures.ablation(tidy)),
      ("roc", roc),
    ):
      written += figures.save(figure, tmp_path / attempt / name)
  assert len(written) == 12
  for first, second in zip(written[:6], written[6:], strict=True):
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size > 2000


def test_an_ablation_draws_the_aucs_of_its_records():
  values = [row | {"value": v} for v in (0.2, 0.6) for row in rows(effect=v)]
  tidy = study.ablation_records("t_ratio", values, summarise)
  (axes,) = figures.ablation(tidy).axes
  line = next(line for line in axes.lines if len(line.get_xdata()) == 2)
  np.testing.assert_allclose(line.get_xdata(), [0.2, 0.6])
  means = [r["auc"] for r in tidy if r["model"] == "mean"]
  np.testing.assert_allclose(line.get_ydata(), means)


def test_methods_at_a_single_value_stand_side_by_side():
  methods = ("lsa_probe", "loss", "pia")
  made = [row | {"value": 100} for name in methods for row in rows(name)]
  (axes,) = figures.ablation(study.ablation_records("cell", made, summarise)).axes
  places = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1]
  assert len(set(places)) == len(methods)
  assert [label.get_text() for label in axes.get_xticklabels()] == ["100"]


def test_the_roc_is_the_mean_of_both_models_at_equal_fpr():
  made = rows(effect=2.0)
  linear, log = figures.roc_curves(made, [("lsa_probe", "none")]).axes
  fpr, tpr = linear.lines[0].get_data()
  assert log.get_xscale() == log.get_yscale() == "log"
  expected = []
  for model in "AB":
    own = [row for row in made if row["model"] == model]
    negative = sorted(row["score"] for row in own if row["split"] == "nonmember")
    # A quarter of the twelve non-members accepted: three of them.
    cut = negative[-4]
    member = [row["score"] for row in own if row["split"] == "member"]
    expected.append(np.mean(np.array(member) > cut))
  assert tpr[np.searchsorted(fpr, 0.25)] == np.mean(expected)


def test_methods_have_a_mark_for_every_calibration_they_have():
  made = crossover_twins.evaluation()
  records = summarise(made + difficulty.calibrated(made))
  (axes,) = figures.methods(records).axes
  assert axes.get_xlabel() == "AUC, mean of the cross-over (95% by track)"
  one = [r for r in records if r["model"] == "A"]
  assert figures.methods(one).axes[0].get_xlabel().startswith("AUC, of one model")
  drawn = {
    container.get_label(): container.lines[0].get_xdata()
    for container in axes.containers
  }
  assert list(drawn) == ["raw", "by reference", "by twins", "by both"]
  # One method has no twins.
  assert [len(values) for values in drawn.values()] == [5, 5, 4, 4]
  aucs = sorted(
    r["auc"]
    for r in records
    if (r["model"], r["difficulty_calibration"]) == ("mean", "twins")
  )
  np.testing.assert_allclose(sorted(drawn["by twins"]), aucs)
  colours = {c.lines[0].get_color() for c in axes.containers}
  assert len(colours) == 4


def test_lengths_of_training_have_a_panel_a_method():
  made = crossover_twins.by_epochs()
  records = study.ablation_records("epochs", made, summarise)
  shown = headline.by_length("epochs", records)
  panels = figures.training_length(shown).axes
  methods = ["loss", "rediffuse", "lsa_probe", "lsa_probe_anchored"]
  assert [axes.get_title() for axes in panels] == methods
  for axes in panels:
    assert [text.get_text() for text in axes.get_xticklabels()] == ["93", "187", "750"]
    lines = {c.get_label(): c.lines[0] for c in axes.containers}
    assert list(lines) == ["raw", "by reference", "by twins", "by both"]
    for by, label in zip(("none", "reference", "twins", "both"), lines, strict=True):
      own = [
        r["auc"]
        for r in shown
        if (r["method"], r["difficulty_calibration"]) == (axes.get_title(), by)
      ]
      np.testing.assert_allclose(lines[label].get_ydata(), own)
  # At the first length this one has no twins.
  counts = [len(c.lines[0].get_xdata()) for c in panels[1].containers]
  assert counts == [3, 3, 2, 2]


def test_only_epochs_with_twins_are_drawn_by_length():
  made = crossover_twins.by_epochs((1, 2))
  records = study.ablation_records("epochs", made, summarise)
  assert headline.by_length("epochs", records)
  assert headline.by_length("draws", records) == []
  named = [record | {"value": f"{record['value']} epochs"} for record in records]
  assert headline.by_length("epochs", named) == []
  calibrated = ("twins", "both")
  plain = [r for r in records if r["difficulty_calibration"] not in calibrated]
  assert headline.by_length("epochs", plain) == []
