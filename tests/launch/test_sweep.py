"""launch.sweep and launch.reproduce: rows once, everything else again from them."""

import copy
import json
import pathlib
import re
import shutil

import numpy as np
import pytest
from launching import complaint, eval_flags, read_rows

from configs import mini, study_mini
from lsaprobe_jax.metrics import roc
from lsaprobe_jax.scoring import factories

METHODS = ("loss", "random_stability", "gradient_norm")
SWEEP = {
  "sweep.methods": METHODS,
  "sweep.nfe_matched": ("loss",),
  # Every method is a program more in every variant.
  "sweep.compared": ("lsa_probe", "loss"),
  "sweep.equal_compute": (0.2, 0.6),
  "sweep.t_ratio": (0.2, 0.6),
  "sweep.eta_max": (0.1, 0.8),
  "sweep.eta_ref": (0.1, 0.2),
  "sweep.distance": ("waveform", "log_mel"),
  "sweep.draws": (1, 2),
  "sweep.compared_in.settings": ("trajectory",),
  "sweep.compared_in.nfe_matched": ("lsa_probe", "pia_nfe_matched"),
  "part": "test",
}
# Of the variants of configs/mini.py.
VARIANTS = {
  "num_inference_steps": [1, 2],
  "clip_ms": [128, 256, 512],
  "ascent_steps": [0, 2, 4],
  "matched": ["own t"],
}
KNOWN = ("t_ratio", "equal_compute", "times", "eta_max", "eta_ref", "distance", "draws")
ABLATIONS = (*KNOWN, *VARIANTS)


def flags(workdir, settings, *more):
  return eval_flags(workdir, settings | SWEEP, *more)


@pytest.fixture(scope="module")
def swept(tmp_path_factory, launcher, parted):
  workdir = tmp_path_factory.mktemp("sweep") / "whole"
  args = flags(workdir, parted, f"--ablations={','.join(ABLATIONS)},settings")
  done = launcher.run("sweep", *args)
  assert done.returncode == 0, done.stderr
  return workdir, args, done


def files(folder: pathlib.Path) -> dict[str, bytes]:
  """Contents by path, but for whose the folder is: a lock names its process."""
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in sorted(folder.rglob("*"))
    if path.is_file() and path.suffix != ".lock"
  }


def test_every_ablation_has_rows_records_and_figures(swept):
  workdir, _, done = swept
  tidy = json.loads((workdir / "ablations.json").read_text())
  for name in ABLATIONS:
    if name in VARIANTS:
      values = VARIANTS[name]
    else:
      field = {"times": "draws"}
      values = list(SWEEP[f"sweep.{field.get(name, name)}"])
    own = [r for r in tidy if r["ablation"] == name and r["method"] == "lsa_probe"]
    assert [
      r["value"]
      for r in own
      if r["model"] == "mean" and r["difficulty_calibration"] == "none"
    ] == (values)
    for kind in ("png", "svg"):
      assert (workdir / "figures" / f"{name}.{kind}").stat().st_size > 1000
  main = json.loads((workdir / "summary.json").read_text())
  methods = {r["method"] for r in main}
  fitted = {"gsa_classifier", "combination"}
  probes = {"lsa_probe", "lsa_probe_paper"}
  assert methods == {"blind", *probes, "loss_nfe_matched", *METHODS, *fitted}
  assert (workdir / "tables.md").read_text().strip() == done.stdout.strip()


def test_scores_by_reference_are_cut_beforehand_too(swept):
  """In the main table; ablations have no cuts, and score nothing for them."""
  records = json.loads((swept[0] / "summary.json").read_text())
  rows = read_rows(swept[0] / "main.jsonl")
  (loss,) = (
    r for r in records
    if (r["method"], r["model"], r["difficulty_calibration"]) == ("loss", "A", "reference")
  )  # fmt: skip
  score = {(r["model"], r["clip"]): r["score"] for r in rows if r["method"] == "loss"}
  less = {c: s - score["reference", c] for (m, c), s in score.items() if m == "A"}
  split = {row["clip"]: row["split"] for row in rows if row["model"] == "A"}
  by_split = {
    name: np.array([s for clip, s in less.items() if split[clip] == name])
    for name in ("dev", "member", "nonmember")
  }
  assert loss["n_dev"] == by_split["dev"].size
  cut = roc.cutoff(by_split["dev"], 0.05)
  for name, split_name in (("tpr", "member"), ("fpr", "nonmember")):
    share = np.mean(by_split[split_name] > cut)
    assert loss[f"{name}_calibrated"]["0.05"] == pytest.approx(share)
  seen = {row["split"] for row in rows if row["model"] == "reference"}
  assert seen == {"nonmember", "dev"}
  for name in ABLATIONS:
    rows = read_rows(swept[0] / f"{name}.jsonl")
    assert {row["split"] for row in rows} == {"member", "nonmember"}


def test_the_fitted_never_see_a_test_track(swept):
  tune = {row["track"] for row in read_rows(swept[0] / "tune.jsonl")}
  main = {row["track"] for row in read_rows(swept[0] / "main.jsonl")}
  assert tune
  assert not tune & main


def test_a_matched_baseline_spends_what_the_probe_spends(swept):
  rows = read_rows(swept[0] / "main.jsonl")
  spent = {row["method"]: row["nfe_forward"] + row["nfe_backward"] for row in rows}
  assert abs(spent["loss_nfe_matched"] / spent["lsa_probe"] - 1) <= 0.05


def test_tau_is_higher_the_larger_the_budget_that_sets_it(swept):
  rows = read_rows(swept[0] / "eta_ref.jsonl")
  probed = [row for row in rows if row["method"] == "lsa_probe"]
  taus = {(row["model"], row["value"]): row["tau"] for row in probed}
  main = read_rows(swept[0] / "main.jsonl")
  own = {r["model"]: r["tau"] for r in main if r["method"] == "lsa_probe"}
  for model, tau in own.items():
    # 0.2 is the main run's.
    assert taus[model, 0.1] < taus[model, 0.2] == tau


@pytest.mark.parametrize(
  "name", ["equal_compute", "eta_max", "eta_ref", "distance", *VARIANTS]
)
def test_a_baseline_spends_as_much_as_the_probe_at_every_value(swept, name):
  spent = {}
  for row in read_rows(swept[0] / f"{name}.jsonl"):
    key = row["method"], row["value"]
    spent[key] = row["nfe_forward"] + row["nfe_backward"]
  values = {value for method, value in spent if method == "lsa_probe"}
  baseline = "pia_nfe_matched" if name == "matched" else "loss_nfe_matched"
  assert values
  for value in values:
    assert abs(spent[baseline, value] / spent["lsa_probe", value] - 1) <= 0.05


def test_one_table_says_where_the_probe_is_ahead(swept):
  text = (swept[0] / "tables.md").read_text().split("## advantage\n\n")[1]
  # The raw one of two tables.
  text = text.split("\n\n")[0]
  found = re.findall(r"^\| (\w+) \| (\S*) +\| 0\.\d{3} \| \W*[+-]0", text, re.M)
  values = {name: [value for n, value in found if n == name] for name, _ in found}
  unmatched = {"t_ratio", "times", "draws", "matched"}
  assert values.keys() == {"main", *ABLATIONS} - unmatched
  assert values["main"] == [""]
  assert values["num_inference_steps"] == ["1", "2"]
  assert values["distance"] == ["waveform", "log_mel"]


def test_every_value_has_gates_and_comparisons(swept):
  text = (swept[0] / "tables.md").read_text()
  for name in ABLATIONS:
    gates = text.split(f"## {name}_gates\n")[1].split("\n## ")[0]
    # What all values share stands once, in front.
    shared, *own = re.split(r"\n\n(?=.*:\n)", gates.split("```\n")[1])
    alone = not shared.startswith("at every value:")
    own, shared = ([shared, *own], "") if alone else (own, shared)
    values = text.split(f"## {name}\n")[1].split("\n")[1].count(" | ")
    for gate in ("blind baseline, A against B", "null control, lsa_probe "):
      there = sum(f"\n{gate}" in part for part in own)
      assert there == values or f"\n{gate}" in shared
    rates = text.split(f"## {name}_tpr\n")[1].split("\n## ")[0]
    # Of four non-members a side nothing is known at 5%.
    assert "not estimable" in rates
    compared = text.split(f"## {name}_comparisons\n")[1].split("\n## ")[0]
    assert compared.count("Paired on the clips") == 1
    lines = compared.split("```\n")[1].splitlines()[2:-1]
    assert len({line.split()[0] for line in lines}) == values


def test_variants_change_what_they_say(swept):
  rows = read_rows(swept[0] / "ascent_steps.jsonl")
  spent = {r["value"]: r["nfe_backward"] for r in rows if r["method"] == "lsa_probe"}
  # Three rungs and two steps of warm-up; `settings` has one step for the two of 2.
  assert spent == {0: 0, 2: 5, 4: 14}
  scores = {
    (r["value"], r["clip"]): r["score"]
    for r in read_rows(swept[0] / "clip_ms.jsonl")
    if r["method"] == "loss" and r["model"] == "A"
  }
  # The clips of `settings` have 256 ms.
  for (value, clip), score in scores.items():
    assert (score == scores[512, clip]) == (value != 128)


def test_an_ablation_may_compare_others(swept):
  rows = read_rows(swept[0] / "settings.jsonl")
  assert {row["method"] for row in rows} == {"blind", "trajectory"}
  spent = {r["value"]: r["nfe_forward"] for r in rows if r["method"] != "blind"}
  assert spent == {"usual": 4, "tuned": 1}
  text = (swept[0] / "tables.md").read_text()
  assert "## settings\n" in text
  assert "## settings_comparisons" not in text


def test_the_study_goes_on_where_the_default_ended():
  default, study = (c.get_config().to_dict() for c in (mini, study_mini))
  less, more = default.pop("sweep"), study.pop("sweep")
  assert default == study
  for field in ("matched", "t_ratio"):
    assert set(less.pop(field)) < set(more.pop(field))
  assert less == more


def test_settings_are_of_baselines_that_there_are():
  config = mini.get_config()
  for name, changes in config.sweep.variants.settings.tuned.baselines.items():
    for setting, value in changes.items():
      assert config.baselines[name][setting] != value
  for variants in config.sweep.variants.values():
    for changes in variants.values():
      copy.deepcopy(config).lock().update(changes.to_dict())


def test_a_smaller_eta_max_only_takes_reached_clips_away(swept):
  rows = read_rows(swept[0] / "eta_max.jsonl")
  rows = [row for row in rows if row["method"] == "lsa_probe"]
  by_clip = {(r["model"], r["clip"], r["value"]): r for r in rows}
  compared = 0
  for (model, clip, value), row in by_clip.items():
    if value == 0.1:
      full = by_clip[model, clip, 0.8]
      assert full["reached"] or not row["reached"]
      assert not row["reached"] or row["cost"] == full["cost"] <= 0.1 * (1 + 1e-5)
      compared += 1
  assert compared == len(by_clip) / 2


def test_it_goes_on_where_it_was(swept, launcher):
  workdir, args, _ = swept
  before = files(workdir)
  assert launcher.run_afresh("sweep", *args).returncode == 0
  assert files(workdir) == before


def test_reproduce_makes_the_same_bytes_from_the_stored_rows(tmp_path, launcher, swept):
  parts = ("gates", "main", *ABLATIONS)
  slots = "".join(f"\n<!-- table tiny {p} -->\nold\n<!-- end -->\n" for p in parts)
  (tmp_path / "RESULTS.md").write_text("# Results\n" + slots)
  args = (f"--root={tmp_path}",)
  done = launcher.run("reproduce", *args, f"--add=tiny={swept[0]}")
  assert done.returncode == 0, done.stderr
  first = files(tmp_path)
  assert b"old" not in first["RESULTS.md"]
  assert b"| lsa_probe |" in first["RESULTS.md"]
  shutil.rmtree(tmp_path / "docs")
  (tmp_path / "RESULTS.md").write_text("# Results\n" + slots)
  assert launcher.run_afresh("reproduce", *args).returncode == 0
  assert files(tmp_path) == first


@pytest.mark.parametrize(
  ("more", "message"),
  [
    (["--ablations=colour"], "--ablations=colour: known: t_ratio, equal_compute"),
    (["--config.search.name=bisection"], "eta_max needs a search that gives curves"),
    (
      ["--config.sweep.methods=('shouting',)"],
      "'shouting' is not one of gradient_norm",
    ),
    (
      [
        "--ablations=paper_distance",
        "--config.sweep.variants.paper_distance.mr_stft.distance=ear",
      ],
      "--config.sweep.variants.paper_distance.mr_stft.distance=ear: ",
    ),
    (
      ["--config.sweep.compared_in.settings=('loss_nfe_matched','lsa_probe')"],
      "--config.sweep.compared_in.settings: loss_nfe_matched must come after lsa_probe",
    ),
  ],
)
def test_wrong_flags_are_refused_before_anything_is_scored(
  tmp_path, launcher, parted, more, message
):
  line = complaint(launcher.run("sweep", *flags(tmp_path / "w", parted), *more))
  assert message in line
  assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (
      "compared_in.setings = ('loss',)",
      "--config.sweep.compared_in: 'setings' is not one of the variants",
    ),
    (
      "variants.epochs['375'].targets = dict(A='diffwave-multigenre-a', B='nowhere')",
      "--config.sweep.variants.epochs.375: --config.targets.B: no model folder nowhere",
    ),
  ],
)
def test_variants_that_cannot_be_are_refused(tmp_path, launcher, change, message):
  config = tmp_path / "own.py"
  config.write_text(
    "from configs import mini\n\n\ndef get_config():\n  config = mini.get_config()\n"
    f"  config.sweep.{change}\n  return config\n"
  )
  args = (f"--config={config}", f"--workdir={tmp_path / 'w'}", "--ablations=epochs")
  assert message in complaint(launcher.run("sweep", *args))
  assert not (tmp_path / "w").exists()


def test_a_method_that_is_asked_for_twice_is_compared_once():
  config = mini.get_config()
  config.sweep.compared = ("lsa_probe", "loss", "loss_nfe_matched")
  config.sweep.nfe_matched = ("loss", "pia")
  names = ["lsa_probe", "loss", "loss_nfe_matched", "pia_nfe_matched"]
  assert factories.compared(config.sweep) == names
