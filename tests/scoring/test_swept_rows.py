"""A sweep of seconds: its rows, and the records, tables and figures made of them."""

import functools
import json
import pathlib
import re
import types

import numpy as np
import pytest
import tiny_parted
from stored_rows import read_rows
from tiny_parted import ABLATIONS, METHODS, SWEEP, VARIANTS

from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.metrics import difficulty, roc, study, summary
from lsaprobe_jax.report import studies
from lsaprobe_jax.scoring import ablations, method_rows
from lsaprobe_jax.scoring.sweep import sweep


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
  return tiny_parted.sweep_settings(tiny_parted.changes(tmp_path_factory.mktemp("of")))


@pytest.fixture(scope="module")
def swept(tmp_path_factory, settings):
  """The folder of a sweep with all ablations."""
  folder = tmp_path_factory.mktemp("sweep") / "whole"
  sweep(settings, folder, (*ABLATIONS, "settings"))
  return folder


@pytest.fixture(scope="module")
def tables(swept):
  """The text of a sweep's tables; its other files lie beside its rows."""
  summarise = functools.partial(summary.summarise, resamples=50)
  return studies.report(study.read(swept), swept, summarise)


def values_of(name: str) -> list:
  """The values of an ablation; `times` counts those of t_ratio, as `draws` does."""
  field = {"times": "draws"}.get(name, name)
  return VARIANTS[name] if name in VARIANTS else list(SWEEP[f"sweep.{field}"])


def files(folder: pathlib.Path) -> dict[str, bytes]:
  """Contents by path, but for whose the folder is: a lock names its process."""
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in sorted(folder.rglob("*"))
    if path.is_file() and path.suffix != ".lock"
  }


@pytest.mark.usefixtures("tables")
def test_every_ablation_has_records_and_figures(swept):
  tidy = json.loads((swept / "ablations.json").read_text())
  for name in ABLATIONS:
    own = [
      record["value"]
      for record in tidy
      if (record["ablation"], record["method"]) == (name, "lsa_probe")
      and (record["model"], record["difficulty_calibration"]) == ("mean", "none")
    ]
    assert own == values_of(name)
    for kind in ("png", "svg"):
      assert (swept / "figures" / f"{name}.{kind}").stat().st_size > 1000


def test_the_main_table_has_every_method(swept, tables):
  main = json.loads((swept / "summary.json").read_text())
  methods = {r["method"] for r in main}
  fitted = {"gsa_classifier", "combination"}
  probes = {"lsa_probe", "lsa_probe_paper"}
  assert methods == {"blind", *probes, "loss_nfe_matched", *METHODS, *fitted}
  assert (swept / "tables.md").read_text() == tables + "\n"


@pytest.mark.usefixtures("tables")
def test_scores_by_reference_are_cut_beforehand_too(swept):
  """In the main table; ablations have no cutoffs, and score nothing for them."""
  records = json.loads((swept / "summary.json").read_text())
  rows = read_rows(swept / "main.jsonl")
  (loss,) = (
    r
    for r in records
    if (r["method"], r["model"], r["difficulty_calibration"])
    == ("loss", "A", "reference")
  )
  score = {
    (r["model"], r["clip"]): difficulty.scale(r, r["score"])
    for r in rows
    if r["method"] == "loss"
  }
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
    assert loss[f"{name}_dev_cutoff"]["0.05"] == pytest.approx(share)
  seen = {row["split"] for row in rows if row["model"] == "reference"}
  assert seen == {"nonmember", "dev"}
  for name in ABLATIONS:
    rows = read_rows(swept / f"{name}.jsonl")
    assert {row["split"] for row in rows} == {"member", "nonmember"}


def test_the_fitted_never_see_a_test_track(swept):
  tune = {row["track"] for row in read_rows(swept / "tune.jsonl")}
  main = {row["track"] for row in read_rows(swept / "main.jsonl")}
  assert tune
  assert not tune & main


def test_a_matched_baseline_spends_what_the_probe_spends(swept):
  rows = read_rows(swept / "main.jsonl")
  spent = {row["method"]: row["nfe_forward"] + row["nfe_backward"] for row in rows}
  assert abs(spent["loss_nfe_matched"] / spent["lsa_probe"] - 1) <= 0.05


def test_tau_is_higher_the_larger_the_budget_that_sets_it(swept):
  rows = read_rows(swept / "eta_ref.jsonl")
  probed = [row for row in rows if row["method"] == "lsa_probe"]
  taus = {(row["model"], row["value"]): row["tau"] for row in probed}
  main = read_rows(swept / "main.jsonl")
  own = {r["model"]: r["tau"] for r in main if r["method"] == "lsa_probe"}
  assert own
  for model, tau in own.items():
    # 0.2 is the main run's.
    assert taus[model, 0.1] < taus[model, 0.2] == tau


@pytest.mark.parametrize(
  "name", ["equal_compute", "eta_max", "eta_ref", "distance", *VARIANTS]
)
def test_a_matched_baseline_spends_as_much_at_every_value(swept, name):
  spent = {}
  for row in read_rows(swept / f"{name}.jsonl"):
    key = row["method"], row["value"]
    spent[key] = row["nfe_forward"] + row["nfe_backward"]
  values = {value for method, value in spent if method == "lsa_probe"}
  other = "pia_nfe_matched" if name == "nfe_matched" else "loss_nfe_matched"
  assert values
  for value in values:
    assert abs(spent[other, value] / spent["lsa_probe", value] - 1) <= 0.05


def test_one_table_says_where_the_probe_is_ahead(tables):
  # The raw one of two tables.
  text = tables.split("## advantage\n\n")[1].split("\n\n")[0]
  found = re.findall(r"^\| (\w+) \| (\S*) +\| 0\.\d{3} \| \W*[+-]0", text, re.M)
  values = {name: [value for n, value in found if n == name] for name, _ in found}
  unmatched = {"t_ratio", "times", "draws", "nfe_matched"}
  assert values.keys() == {"main", *ABLATIONS} - unmatched
  assert values["main"] == [""]
  assert values["num_inference_steps"] == ["1", "2"]
  assert values["distance"] == ["waveform", "log_mel"]


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_value_has_gates_rates_and_comparisons(tables, name):
  part = lambda kind: tables.split(f"## {name}_{kind}\n")[1].split("\n## ")[0]
  paragraphs = part("gates").strip("`\n").split("\n\n")
  gates = dict(paragraph.split(":\n", 1) for paragraph in paragraphs)
  # What is the same at every value stands once.
  shared = gates.pop("at every value", "")
  for value in values_of(name):
    own = f"\n{shared}\n{gates.get(str(value), '')}"
    assert own.count("\nblind baseline, A against B (") == 1
    assert own.count("\nnull control, lsa_probe ") == 1
  # Four non-members a side say nothing at 5%.
  assert re.search(r"lsa_probe( \|)? not estimable", part("tpr"))
  compared = re.findall(r"^(\S.*?)  +\w+ by ref ", part("comparisons"), re.MULTILINE)
  assert list(dict.fromkeys(compared)) == list(map(str, values_of(name)))
  assert part("comparisons").count("Paired on the clips") == 1


def test_variants_change_what_they_say(swept):
  rows = read_rows(swept / "ascent_steps.jsonl")
  spent = {r["value"]: r["nfe_backward"] for r in rows if r["method"] == "lsa_probe"}
  # Three rungs and two steps of warm-up; the tiny search has one step for the two of 2.
  assert spent == {0: 0, 2: 5, 4: 14}
  scores = {
    (r["value"], r["clip"]): r["score"]
    for r in read_rows(swept / "clip_ms.jsonl")
    if r["method"] == "loss" and r["model"] == "A"
  }
  # The tiny clips have 256 ms.
  for (value, clip), score in scores.items():
    assert (score == scores[512, clip]) == (value != 128)


def test_an_ablation_may_compare_others(swept, tables):
  rows = read_rows(swept / "settings.jsonl")
  assert {row["method"] for row in rows} == {"blind", "trajectory"}
  spent = {r["value"]: r["nfe_forward"] for r in rows if r["method"] != "blind"}
  assert spent == {"usual": 4, "tuned": 1}
  assert "## settings\n" in tables
  assert "## settings_comparisons" not in tables


def test_a_smaller_eta_max_only_takes_reached_clips_away(swept):
  rows = read_rows(swept / "eta_max.jsonl")
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


@pytest.mark.usefixtures("tables")
def test_it_goes_on_where_it_was(swept, settings):
  before = files(swept)
  (swept / "t_ratio.jsonl").unlink()
  sweep(settings, swept, (*ABLATIONS, "settings"))
  assert files(swept) == before


@pytest.mark.parametrize(
  ("search", "own"), [("bisection", True), ("continuation", False)]
)
def test_matched_baselines_have_rows_of_their_own_where_nfe_vary(
  settings, search, own, monkeypatch
):
  """Their rows do not tell whose NFE they were matched to; the others' are shared."""
  calls, target = [], types.SimpleNamespace(name="A")
  opened = types.SimpleNamespace(targets=[target])
  runs = types.SimpleNamespace(
    settings=settings.changed({"search.name": search}),
    vary=lambda changes: calls.append(("vary", changes)),
    open=lambda name, changes: calls.append((name, changes)) or opened,
    plain=None,
  )
  monkeypatch.setattr(ablations._Scored, "of", lambda run: "rows of the main run")
  taken = lambda run, other, models: calls.append((other, models))
  monkeypatch.setattr(ablations, "_take_over", taken)
  changes = {"distance": "cdpam"}
  ablations._varied(runs, "distance-cdpam", changes, ("lsa_probe", "loss"))
  assert calls == [("vary", changes)]
  ablations._varied(runs, "distance-cdpam", changes, ("lsa_probe", "loss_nfe_matched"))
  added = [("distance-cdpam", changes), ("rows of the main run", {"A"})]
  assert calls[1:] == (added if own else [("vary", changes)])


def test_a_matched_baseline_goes_by_the_probe_at_its_own_time_and_distance():
  """A sweep keeps rows of all of them, and what a search takes differs."""
  settings = types.SimpleNamespace(t_ratio=0.1, distance="waveform")
  row = {"method": "lsa_probe", "model": "A", "nfe_backward": 2, "nfe_forward": 3}
  own = row | {"t_ratio": 0.1, "distance": "waveform"}
  others = [
    own | change | {"nfe_forward": 100}
    for change in ({"t_ratio": 0.2}, {"distance": "cdpam"}, {"model": "reference"})
  ]
  scores = types.SimpleNamespace(wait=lambda: None, asked=[own, *others])
  run = types.SimpleNamespace(settings=settings, scores=scores)
  assert method_rows._nfe_of_probe(run) == 5
  run.scores.asked = others
  with pytest.raises(
    ArgumentError, match=r"^methods: the probe has a score on no clip"
  ):
    method_rows._nfe_of_probe(run)
