"""Runs of a sweep that differ in their models alone share what is the same."""

import json
import shutil
import types

import pytest
import tiny_parted
from stored_rows import read_rows

from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.metrics.pivot import NFE_MATCHED
from lsaprobe_jax.models import checkpoints
from lsaprobe_jax.scoring import ablations, scorer
from lsaprobe_jax.scoring.row_store import RowStore
from lsaprobe_jax.scoring.sweep import sweep


@pytest.fixture(scope="module")
def parted(tmp_path_factory):
  folder = tmp_path_factory.mktemp("of")
  found = tiny_parted.changes(folder)
  # Another base than that of the main table: other weights, and the same record.
  other = shutil.copytree(found["targets.B"], folder / "another base")
  base = checkpoints.read_record(found["targets.reference"])["training"]
  record = checkpoints.read_record(other) | {"training": base}
  (other / "model.json").write_text(json.dumps(record))
  return found | {"another base": str(other)}


def settings_of(parted, labels=("1", "2", "3")):
  parted = dict(parted)
  another = parted.pop("another base")
  a, b = parted["targets.A"], parted["targets.B"]
  # Another model under the name of the reference, and the same A and B.
  other = {"targets": {"A": a, "B": b, "reference": another}}
  variants = {"1": other, "2": {}, "3": other | {"anchored": {"t_ratio": 0.4}}}
  few = {"sweep.methods": ("loss",), "sweep.nfe_matched": (), "sweep.paper": {}}
  few |= {"sweep.variants": {"dose": {label: variants[label] for label in labels}}}
  few |= {"sweep.compared_in": {"dose": ("loss",)}}
  few |= {"sweep.with_development": ("dose",)}
  return tiny_parted.sweep_settings(parted).changed(few)


@pytest.fixture
def scored(monkeypatch):
  """(method, model) of everything that is scored."""
  found = []
  real = scorer.Scorer._score_new

  def note(self, store, attack, target, corpus, new, t):
    found.append((new[0][1]["method"], target.name))
    real(self, store, attack, target, corpus, new, t)

  monkeypatch.setattr(scorer.Scorer, "_score_new", note)
  return found


def test_rows_of_the_same_model_are_not_scored_again(parted, scored, tmp_path):
  sweep(settings_of(parted), tmp_path)
  del scored[:]
  sweep(settings_of(parted), tmp_path, ("dose",))
  # Under other settings nothing is taken over, not even what they leave alone.
  anew = ("reference", "A", "B", "reference")
  # The halves and then development clips.
  assert scored == [("loss", name) for name in anew for _ in range(2)]
  by_value, rows = {}, read_rows(tmp_path / "dose.jsonl")
  assert {row["split"] for row in rows} == {"member", "nonmember", "dev"}
  for row in rows:
    if row["method"] != "blind":
      by_value.setdefault(row["value"], {})[row["model"], row["clip"]] = row["score"]
  assert by_value[1] == by_value[3]
  assert by_value[1].keys() == by_value[2].keys()
  for key, score in by_value[1].items():
    assert (score == by_value[2][key]) == (key[0] != "reference"), key


def test_ablations_alone_are_the_same_and_need_no_main_run(parted, tmp_path):
  settings = settings_of(parted, ("1", "3"))
  sweep(settings, tmp_path / "with", ("dose",))
  # Not even its models are there.
  gone = {"targets.A": str(tmp_path / "none"), "targets.B": str(tmp_path / "none")}
  sweep(settings.changed(gone), tmp_path / "without", ("dose",), main=False)
  assert not (tmp_path / "without" / "main.jsonl").exists()
  alone, beside = (
    [row | {"seconds": 0} for row in read_rows(tmp_path / folder / "dose.jsonl")]
    for folder in ("without", "with")
  )
  assert alone == beside
  assert alone
  # A main table that lies there may be of other settings.
  with pytest.raises(ArgumentError, match=r"^workdir=.*with: it holds a main table"):
    sweep(settings, tmp_path / "with", ("dose",), main=False)


def run_of(settings, described="as it was", **weights):
  """An evaluation as far as its rows are taken over."""
  targets = [
    types.SimpleNamespace(name=n, weights_sha256=w, described_sha256=described)
    for n, w in weights.items()
  ]
  stores = {name: RowStore() for name in ("scores", "calibration", "curves")}
  return types.SimpleNamespace(settings=settings, targets=targets, **stores)


def brought(parted, changes, described="as it was"):
  """(model, method) of the rows that a run takes over from another."""
  settings = settings_of(parted).experiment.changed(changes)
  earlier = run_of(settings, A="one", reference="base")
  later = run_of(settings, described, A="another", reference="base")
  row = {"clip": "c", "track": "c", "group": "a", "split": "member", "corpus": "toy"}
  row |= {"distance": None, "t_ratio": 0.1, "difficulty_calibration": "none"}
  row |= {"score": 0.5, "seed": 0, "cost": None, "reached": None, "seconds": 0.1}
  row |= {"nfe_forward": 1, "nfe_backward": 0}
  for model in ("A", "reference"):
    for method in ("loss", f"loss{NFE_MATCHED}"):
      earlier.scores.append([row | {"model": model, "method": method}])
  ablations._bring(later, [ablations._Scored.of(earlier)])
  return [(row["model"], row["method"]) for row in later.scores.rows]


def test_what_goes_by_other_models_is_not_taken_over(parted):
  assert brought(parted, {}) == [("reference", "loss")]


def test_the_same_weights_on_another_schedule_are_another_model(parted):
  assert brought(parted, {}, "otherwise") == []


def test_random_weights_are_another_models(parted):
  assert brought(parted, {"untrained": True}) == []
