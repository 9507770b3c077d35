import functools

import numpy as np
from crossover import rows

from lsaprobe_jax.metrics import study, summary
from lsaprobe_jax.report import figures

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
