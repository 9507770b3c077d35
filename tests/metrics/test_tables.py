import functools

import pytest
from crossover import rows

from lsaprobe_jax.metrics import record_tables, study, summary, tables

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
