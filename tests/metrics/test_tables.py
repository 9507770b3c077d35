import functools

import crossover_twins
import pytest
from crossover import rows

from lsaprobe_jax.metrics import difficulty, record_tables, study, summary, tables

summarise = functools.partial(summary.summarise, resamples=20)


def test_both_renderers_by_hand():
  cells = [["method", "AUC"], ["loss", "0.5"]]
  assert tables.markdown(cells) == ["| method | AUC |", "|---|---|", "| loss | 0.5 |"]
  assert tables.align(cells) == ["method  AUC", "-----------", "loss    0.5"]


def test_a_label_says_what_difficulty_was_taken_off_by():
  assert (
    tables.label("loss", "none") == tables.label("loss", "none", short=True) == ("loss")
  )
  assert tables.label("loss", "reference") == "loss by reference"
  assert tables.label("loss", "reference", short=True) == "loss by ref"
  assert tables.label("loss", "twins", short=True) == "loss by twins"
  assert tables.label("loss", "both") == "loss by both"


def test_raw_records_of_a_setting_come_first():
  """Alphabetically 'both' would, and settings stay as they are."""
  setting = {"corpus": "toy", "distance": None, "t_ratio": 0.4}
  records = [
    setting | {"method": method, "difficulty_calibration": by, "model": model}
    for method in ("pia", "loss")
    for by in ("both", "none", "reference", "twins")
    for model in "AB"
  ]
  found = [
    (r["method"], r["difficulty_calibration"], r["model"])
    for r in tables.in_order(records)
  ]
  assert found == [
    (method, by, model)
    for method in ("pia", "loss")
    for by in ("none", "reference", "twins", "both")
    for model in "AB"
  ]


def side_by_side_records(**changes):
  made = crossover_twins.evaluation(**changes)
  return summarise(made + difficulty.calibrated(made))


def test_calibrations_stand_side_by_side():
  records = side_by_side_records()
  header, rule, *lines = record_tables.format_side_by_side(records).splitlines()
  assert len(rule) <= 100
  names = ["by reference", "by twins", "by both"]
  starts = [header.index(name) for name in names]
  raw = header.index("raw")
  assert header.split()[:4] == ["method", "t/T", "distance", "NFE"]
  means = {
    (r["method"], r["difficulty_calibration"]): r
    for r in records
    if r["model"] == "mean"
  }
  best = lambda method: max(r["auc"] for key, r in means.items() if key[0] == method)
  methods = [line.split()[0] for line in lines]
  assert methods == sorted(sorted(crossover_twins.METHODS), key=best, reverse=True)
  for line in lines:
    method = line.split()[0]
    assert line[header.index("NFE") :].split()[0] == "4/0"
    for start, by in zip(
      [raw, *starts], ("none", "reference", "twins", "both"), strict=True
    ):
      cell = line[start : start + 12].strip()
      if (method, by) not in means:
        assert cell == "-"
        assert method == "random_stability"
        continue
      record = means[method, by]
      auc, bounds = cell.split()
      assert float(auc) == pytest.approx(record["auc"], abs=5.1e-4)
      found = [float(bound) for bound in bounds.split("-")]
      assert found == pytest.approx(record["auc_ci"], abs=5.1e-3)


def test_narrow_figures_fit_twelve_columns():
  records = side_by_side_records()
  (record,) = (
    r
    for r in records
    if (r["method"], r["model"], r["difficulty_calibration"])
    == ("loss", "mean", "none")
  )
  table = lambda **changes: record_tables.format_side_by_side([record | changes])
  whole = table(auc=1.0, auc_ci=[0.8461, 1.0]).splitlines()[2]
  assert "  1.00 .85-1.0  -" in whole
  assert "  .062  " in table(auc=0.0624, auc_ci=None)
  matched = table(method="random_stability_nfe_matched").splitlines()[2]
  assert matched.startswith("random_stability at equal NFE")


def test_without_a_cross_over_each_target_has_a_line():
  made = [row for row in crossover_twins.evaluation() if row["model"] != "B"]
  records = summarise(made + difficulty.calibrated(made))
  lines = record_tables.format_side_by_side(records).splitlines()[2:]
  assert len(lines) == len(crossover_twins.METHODS)
  assert all(" (A) " in line for line in lines)


def test_side_by_side_in_markdown_has_whole_intervals_of_chosen_methods():
  records = side_by_side_records()
  lines = record_tables.markdown_side_by_side(records, ("loss", "pia")).splitlines()
  assert lines[0].startswith("| method | t/T | distance | NFE | raw | by reference |")
  assert len(lines) == 3
  (raw,) = (
    tables.auc(r)
    for r in records
    if (r["method"], r["model"], r["difficulty_calibration"])
    == ("loss", "mean", "none")
  )
  assert lines[2].startswith(f"| loss | 0.4 | - | 4/0 | {raw} | ")


def test_a_narrow_ablation_has_a_dash_where_a_value_lacks_twins():
  made = crossover_twins.by_epochs()
  records = study.ablation_records("epochs", made, summarise)
  shown = tables.in_order(
    r for r in records if r["model"] == "mean" and r["method"] == "rediffuse"
  )
  header, _, *lines = record_tables.narrow_ablation(shown).splitlines()
  assert header.split() == ["epochs", "93", "187", "750"]
  assert [line.split("  ")[0] for line in lines] == [
    "rediffuse", "rediffuse by reference", "rediffuse by twins", "rediffuse by both",
  ]  # fmt: skip
  assert [line[header.index("93")] for line in lines] == [".", ".", "-", "-"]


def test_cells_of_what_is_not_known():
  record = {"auc": 0.75, "auc_ci": None, "tpr": {"0.01": None}, "flagged": {}}
  record |= {"nfe_forward": 4.0, "nfe_backward": None}
  assert tables.auc(record) == "0.750"
  assert tables.auc(record | {"auc_ci": [0.5, 1.0]}) == "0.750 [0.500, 1.000]"
  assert tables.tpr(record, "0.01") == "not estimable"
  assert tables.nfe(record) == "4/-"
  assert [tables.p_value(p) for p in (None, 0.02, 0.0004)] == ["-", "0.020", "4.0e-04"]
  assert tables.interval(None) == "[-]"


def test_what_an_ablation_leaves_alone_is_named_once():
  made = [row | {"value": v} for v in (1, 2) for row in rows(effect=v)]
  made += [row | {"value": v} for v in (1, 2) for row in rows("pfami", seed=1)]
  made += [row | {"value": 2} for row in rows("pia", seed=2)]
  records = study.ablation_records("steps", made, summarise)
  lines = record_tables.markdown_ablation(records).splitlines()
  assert [line.split(" | ")[0] for line in lines[2:4]] == ["| lsa_probe", "| pia"]
  (pfami,) = {tables.auc(r) for r in records if (r["method"], r["model"]) == (
    "pfami", "mean",
  )}  # fmt: skip
  assert f"The same at every value: pfami {pfami}." in lines
  assert lines[-1] == "Our reading of what the source leaves open: pfami."


def test_lines_that_all_values_share_stand_once():
  records = [{"value": v, "text": t} for v in "ab" for t in ("same", v)]
  show = lambda own: "\n".join(record["text"] for record in own)
  assert record_tables.by_value(records, show) == "a:\nsame\na\n\nb:\nsame\nb"
  once = record_tables.by_value(records, show, once=True)
  assert once == "at every value:\nsame\n\na:\na\n\nb:\nb"


def test_nothing_of_metrics_imports_jax_or_absl():
  code = (
    "import sys, pkgutil, importlib, lsaprobe_jax.metrics as m\n"
    "for found in pkgutil.iter_modules(m.__path__):\n"
    "  importlib.import_module(f'lsaprobe_jax.metrics.{found.name}')\n"
    "print(sorted({'jax', 'absl', 'sklearn', 'matplotlib'} & set(sys.modules)))\n"
  )
  import subprocess
  import sys

  done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("hits", [0, 3, 10])
def test_shares_have_exact_intervals(hits):
  text = tables.share(hits, 10)
  assert text.startswith(f"{10 * hits:.1f}% [")
  low, high = map(float, text.split("[")[1].rstrip("]").split(", "))
  assert low <= 10 * hits <= high


def test_the_noise_of_times_is_said_of_rows_that_have_it():
  early = [row | {"log_snr": 2.5149, "t_ratio": 0.2} for row in rows()]
  late = [row | {"log_snr": 1.04, "t_ratio": 0.4} for row in rows("pia", seed=1)]
  old = rows("loss", seed=2)
  records = summarise(early + late + old)
  assert {r.get("log_snr") for r in records} == {2.5149, 1.04, None}
  assert tables.readings(records) == [
    "log-SNR, by which times of different models compare: 2.5 at 0.2 T, 1.0 at 0.4 T."
  ]
  other = [row | {"log_snr": -0.3} for row in rows("sima", seed=3)]
  at_both = summarise([row | {"t_ratio": 0.2} for row in other] + early)
  assert tables.readings(at_both)[-1].endswith("compare: -0.3 or 2.5 at 0.2 T.")
  # Rows of another schedule beside them, as of a study continued, have none in common.
  mixed = [row | {"log_snr": i % 2} for i, row in enumerate(early)]
  assert all("log_snr" not in r for r in summarise(mixed) if r["model"] == "mean")
