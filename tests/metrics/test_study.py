import functools
import gzip

import pytest
from crossover import TRACKS, rows

from lsaprobe_jax.metrics import gates, record_tables, study, summary, tables

summarise = functools.partial(summary.summarise, resamples=20)


def test_rows_come_back_from_either_form(tmp_path):
  made = rows()
  (tmp_path / "main.jsonl.gz").write_bytes(study.pack(made))
  text = gzip.decompress((tmp_path / "main.jsonl.gz").read_bytes())
  (tmp_path / "draws.jsonl").write_bytes(text)
  assert study.read(tmp_path) == {"main": made, "draws": made}
  assert study.pack(made) == study.pack(made)


@pytest.mark.parametrize(
  ("name", "content", "message"),
  [
    ("main.jsonl", b"{not json", "main.jsonl: damaged"),
    ("main.jsonl.gz", b"not gzip", r"main.jsonl.gz: damaged"),
    ("other.jsonl", b"", "has no main.jsonl"),
  ],
)
def test_what_is_not_a_study_is_named(tmp_path, name, content, message):
  (tmp_path / name).write_bytes(content)
  with pytest.raises(ValueError, match=message):
    study.read(tmp_path)


def test_pooling_averages_scores_and_adds_what_was_spent():
  pooled = study.pool(rows(seed=0) + rows(seed=1), over="seed")
  first, second = (
    {(r["model"], r["clip"]): r["score"] for r in rows(seed=seed)} for seed in (0, 1)
  )
  assert len(pooled) == len(first)
  for row in pooled:
    key = row["model"], row["clip"]
    assert row["score"] == pytest.approx((first[key] + second[key]) / 2)
    assert row["nfe_forward"] == 8
  with pytest.raises(ValueError, match="two rows of the same seed"):
    study.pool(rows() + rows(), over="seed")


def test_twins_are_pooled_as_their_clips_are():
  twinned = lambda score: {"twin_scores": [score, 0.0], "twin_nfe_forward": 3.0}
  parts = [[row | twinned(score) for row in rows()] for score in (1.0, 2.0)]
  parts = [row | {"seed": seed} for seed, part in enumerate(parts) for row in part]
  for row in study.pool(parts, over="seed"):
    assert row["twin_scores"] == [1.5, 0.0]
    assert row["twin_nfe_forward"] == 6.0


def test_what_is_pooled_over_times_has_no_noise_of_its_own():
  parts = [
    row | {"t_ratio": t, "log_snr": noise}
    for t, noise in ((0.2, 2.5), (0.4, 1.0))
    for row in rows()
  ]
  assert not any("log_snr" in row for row in study.pool(parts, over="t_ratio"))
  seeds = [row | {"log_snr": 2.5} for row in rows(seed=0) + rows(seed=1)]
  assert {row["log_snr"] for row in study.pool(seeds, over="seed")} == {2.5}


def test_an_ablation_has_tidy_records_for_each_value():
  made = [row | {"value": value} for value in (0.2, 0.6) for row in rows(effect=value)]
  made += [row | {"value": 0.2} for row in rows("loss")]
  records = study.ablation_records("t_ratio", made, summarise)
  means = [(r["value"], r["method"]) for r in records if r["model"] == "mean"]
  assert means == [(0.2, "loss"), (0.2, "lsa_probe"), (0.6, "lsa_probe")]
  (alone,) = (r for r in summarise(rows(effect=0.6)) if r["model"] == "mean")
  assert records[-1]["auc"] == alone["auc"]
  table = record_tables.markdown_ablation(records).splitlines()
  assert table[0] == "| t_ratio | 0.2 | 0.6 |"
  loss, early, late = (tables.auc(r) for r in records if r["model"] == "mean")
  assert table[2:] == [f"| loss | {loss} |  |", f"| lsa_probe | {early} | {late} |"]


def test_the_gates_of_each_value_stand_beside_its_records():
  made = [row | {"value": value} for value in (1, 2) for row in rows()]
  # The second value alone has a null control.
  made += [row | {"value": 2} for row in rows(models=("reference",), effect=0.0)]
  whole = study.records_by_value("steps", study.with_reference(made), summarise)
  controls = [(r["value"], r["method"]) for r in whole if r["model"] == "reference"]
  assert controls == [(2, "lsa_probe")]
  shown = study.ablation_records("steps", made, summarise)
  assert shown == gates.without(whole)
  assert {r["model"] for r in shown} == {"A", "B", "mean"}
  assert {(r["value"], r["difficulty_calibration"]) for r in shown} == {
    (1, "none"), (2, "none"), (2, "reference")
  }  # fmt: skip


def test_the_main_table_is_sorted_by_what_it_says():
  made = rows("weak", effect=0.1) + rows("strong", effect=3.0)
  records = summarise(study.main_rows({"main": made}))
  lines = record_tables.markdown_main(records).splitlines()[2:]
  assert [line.split(" | ")[0] for line in lines] == ["| strong", "| weak"]


def test_a_reference_calibrates_every_method():
  made = rows() + rows(models=("reference",), effect=0.0)
  calibrated = [
    r for r in study.main_rows({"main": made}) if r["difficulty_calibration"] != "none"
  ]
  assert len(calibrated) == 2 * len(TRACKS)


def test_a_clip_that_one_method_lacks_is_not_in_the_combination():
  split = lambda made, low: [r for r in made if (int(r["track"][1:]) < 6) == low]
  made = rows() + rows("loss", seed=1)
  tune, main = split(made, True), split(made, False)
  lost = next(r for r in main if r["method"] == "loss")
  main.remove(lost)
  found = study.main_rows({"main": main, "tune": tune})
  combined = {
    (r["model"], r["clip"]) for r in found if r["method"] == study.COMBINATION
  }
  assert (lost["model"], lost["clip"]) not in combined
  assert len(combined) == len(TRACKS) - 1
