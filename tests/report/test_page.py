import functools
import json

import crossover
import crossover_twins
import numpy as np
import pytest

from lsaprobe_jax.metrics import study, summary
from lsaprobe_jax.report import explorer, html, page, reading

summarise = functools.partial(summary.summarise, resamples=20)


def results(tmp_path, rows, **parts):
  for name, own in {"main": rows, **parts}.items():
    text = "".join(json.dumps(row) + "\n" for row in own)
    (tmp_path / f"{name}.jsonl").write_text(text)
  return reading.read(tmp_path, summarise)


def test_the_mean_roc_averages_both_models_at_equal_fpr():
  rows = crossover.rows(effect=2.0)
  parts = [[row for row in rows if row["model"] == model] for model in "AB"]
  points = dict(map(tuple, explorer.roc_points(parts)))
  expected = []
  for own in parts:
    negative = sorted(row["score"] for row in own if row["split"] == "nonmember")
    member = np.array([row["score"] for row in own if row["split"] == "member"])
    expected.append(np.mean(member > negative[-4]))
  assert points[0.25] == pytest.approx(np.mean(expected), rel=1e-4)
  assert points[1.0] == 1


def test_without_a_gate_nothing_is_said_to_be_established(tmp_path):
  built = page.build(results(tmp_path, crossover.rows(effect=3.0)))
  assert built["verdict"]["reading"] == "ungated"


@pytest.mark.parametrize(
  ("effect", "leak", "reading_"),
  [(3.0, 0.0, "apart"), (-3.0, 0.0, "reverse"), (0.0, 0.0, "guessing"),
   (3.0, 3.0, "leak")],
)  # fmt: skip
def test_the_verdict_follows_from_gates_and_interval(tmp_path, effect, leak, reading_):
  rows = crossover.rows(effect=effect, seed=3)
  rows += crossover.rows(effect=0.0, seed=4, models=("reference",))
  for row in rows:
    row["seed"] = 0
  rows += crossover.rows("blind", 5, leak, models=("A",), t_ratio=None)
  built = page.build(results(tmp_path, rows))
  assert built["verdict"]["reading"] == reading_


def test_the_explorer_shows_every_time_with_its_own_record(tmp_path):
  by_time = [
    row | {"value": t}
    for t in (0.2, 0.6)
    for row in crossover.rows(effect=t, t_ratio=t)
    + crossover.rows(seed=0, effect=0, models=("reference",), t_ratio=t)
  ]
  found = results(tmp_path, crossover.rows(), t_ratio=by_time)
  raw = [e for e in explorer.explorer(found) if e["difficulty_calibration"] == "none"]
  assert [e["t_ratio"] for e in raw] == [0.2, 0.4, 0.6]
  tidy = study.ablation_records("t_ratio", by_time, summarise)
  aucs = {
    r["value"]: r["auc"]
    for r in tidy
    if r["model"] == "mean" and r["difficulty_calibration"] == "none"
  }
  assert raw[0]["models"]["mean"]["record"]["auc"] == aucs[0.2]
  assert len(raw[2]["models"]["mean"]["member"]) == 24


def test_plots_of_the_probe_leave_its_baselines_out(tmp_path):
  baselines = ("loss_nfe_matched", "random_stability", "random_stability_nfe_matched")
  made = [
    row | {"value": value}
    for value in (0.4, 0.8)
    for method in ("lsa_probe", *baselines)
    for row in crossover.rows(method)
  ]
  found = results(tmp_path, crossover.rows(), eta_max=made, distance=made)
  built = page.build(found)
  drawn = lambda part: [(r["value"], r["method"]) for r in built[part]]
  assert drawn("budgets") == [(0.4, "lsa_probe"), (0.8, "lsa_probe")]
  both = ("lsa_probe", "random_stability")
  assert drawn("distances") == [(value, m) for value in (0.4, 0.8) for m in both]


def test_a_page_has_all_calibrations_where_only_some_methods_have_twins(tmp_path):
  main, epochs = crossover_twins.evaluation(), crossover_twins.by_epochs()
  found = results(tmp_path, main, epochs=epochs)
  built = page.build(found)
  names = {"none": "raw", "reference": "by reference", "twins": "by twins"}
  assert built["calibrations"] == names | {"both": "by both"}
  entries = [(e["method"], e["difficulty_calibration"]) for e in built["explorer"]]
  four = ["none", "reference", "twins", "both"]
  assert entries[:4] == [("lsa_probe", by) for by in four]
  assert ("random_stability", "twins") not in entries
  assert [r["label"] for r in built["comparisons"][:4]] == [
    "loss", "loss by reference", "loss by twins", "loss by both",
  ]  # fmt: skip
  assert [r["method"] for r in built["twins"]] == [
    "loss", "lsa_probe", "lsa_probe_anchored", "rediffuse",
  ]  # fmt: skip
  lengths = [(r["label"], r["value"]) for r in built["lengths"]]
  assert ("loss by both", 750) in lengths
  assert ("rediffuse by twins", 187) in lengths
  assert ("rediffuse by twins", 93) not in lengths
  text = html.render(built, {})
  assert text.count(' data-method="') == 4
  for name in names.values():
    assert f"> {name}</label>" in text


def test_doses_are_explored_at_the_top(tmp_path):
  by_dose = crossover_twins.by_epochs((1, 10, 100))
  parts = {"dose_toy": by_dose, "epochs": crossover_twins.by_epochs()}
  built = page.build(results(tmp_path, crossover_twins.evaluation(), **parts))
  (found,) = built["doses"]
  assert (found["name"], found["doses"]) == ("toy", [1, 10, 100])
  assert found["methods"] == [
    "loss", "rediffuse", "lsa_probe_anchored", "lsa_probe", "random_stability",
  ]  # fmt: skip
  assert found["few"] == 4
  by_label = {r["label"]: r for r in found["passes"]}
  for record in found["records"]:
    own = by_label[record["label"]]["aucs"]
    # The same clips at every dose, so that both say the same.
    assert own[str(record["value"])] == pytest.approx(record["auc"])
  text = html.render(built, {})
  assert text.index('id="dose"') < text.index('id="challenge"')
  assert "<summary>As a table: toy</summary>" in text


def test_without_doses_the_page_has_no_section_of_them(tmp_path):
  built = page.build(results(tmp_path, crossover.rows()))
  assert built["doses"] is None
  assert 'id="dose"' not in html.render(built, {})


def test_without_twins_there_is_nothing_by_length(tmp_path):
  epochs = [row | {"value": v} for v in (1, 2) for row in crossover.rows()]
  built = page.build(results(tmp_path, crossover.rows(), epochs=epochs))
  assert built["lengths"] is None
  assert built["calibrations"] == {"none": "raw"}
  assert "--ablations=epochs" in html.render(built, {})


def test_a_sweep_that_scored_otherwise_is_refused(tmp_path):
  main = results(tmp_path, crossover.rows())
  (tmp_path / "other").mkdir()
  other = results(tmp_path / "other", crossover.rows(effect=1.5))
  with pytest.raises(ValueError, match="not the same weights, data or settings"):
    reading.combine(main, other)
  assert reading.combine(main, main).records == main.records


def test_data_cannot_end_its_script_element():
  value = {"a": "</script><!--\u2028&", "b": float("nan")}
  text = html.script_json(value)
  assert not set("<>&\u2028") & set(text)
  assert json.loads(text) == {"a": value["a"], "b": None}


def test_clips_of_one_track_are_told_apart():
  clips = {"long@0030048+1024": "long", "long@0090000+1024": "long", "one@0+1": "one"}
  rows = [{"clip": clip, "track": track} for clip, track in clips.items()]
  assert list(reading.titles(rows, {}).values()) == [
    "long, at 30.0 s",
    "long, at 90.0 s",
    "one",
  ]
  about = {"one@0+1": {"title": "long"}}
  assert reading.titles(rows, about)["one@0+1"] == "long, at 0.0 s"
