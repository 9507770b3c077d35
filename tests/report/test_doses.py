"""Tables and figure of an ablation over doses."""

import functools
import math

import crossover_twins
import pytest

from lsaprobe_jax.metrics import dose, pivot, study, summary
from lsaprobe_jax.report import doses, studies

DOSES = (1, 10, 100)


@pytest.fixture(scope="module")
def parts():
  by_dose = crossover_twins.by_epochs(DOSES)
  return {"main": crossover_twins.evaluation(), "dose_toy": by_dose}


@pytest.fixture(scope="module")
def made(parts):
  return studies.make_tables(parts, functools.partial(summary.summarise, resamples=20))


def cells(table):
  return [[c.strip() for c in line.split("|")[1:-1]] for line in table.splitlines()]


def test_a_method_comes_in_every_calibration_with_the_dose_that_it_needs(made):
  text, _ = made
  head, _, *body = cells(text["dose_toy_passes"])
  assert head == ["method", "NFE", "1", "10", "100", "passes 0.75 at [95%]"]
  names = [row[0] for row in body]
  # One method has no twins, and another none at the first dose.
  for name in ("loss", "loss by reference", "loss by twins", "loss by both"):
    assert names.count(name) == 1
  assert "random_stability by twins" not in names
  by_twins = dict(zip(names, body, strict=True))["rediffuse by twins"]
  assert by_twins[2] == ""
  order = [row[-1].split()[0] for row in body]
  limits = {"<1": 0.0, ">100": math.inf}
  order = [limits[text] if text in limits else float(text) for text in order]
  assert order == sorted(order)
  assert len(set(order)) > 2


def test_the_headline_has_each_method_in_the_same_calibrations(made):
  text, _ = made
  head, _, *body = cells(text["dose_toy_headline"])
  assert head[:4] == ["method", "needs", "10 passes", "100 passes"]
  named = ("loss", "rediffuse", "lsa_probe_anchored", "lsa_probe")
  ways = {"": "the model", " by reference": "the model and its base"}
  ways |= {" by twins": "the model"}
  assert [row[:2] for row in body] == [
    [f"{name}{way}", needs] for name in named for way, needs in ways.items()
  ]
  rows = {row[0]: row for row in cells(text["dose_toy_passes"])[2:]}
  for row in body:
    assert row[2:] == rows[row[0]][3:]


def test_power_rises_with_tracks(made):
  text, _ = made
  _, _, *body = cells(text["dose_toy_sets"])
  last = {(row[0], int(row[1])): float(row[-1]) for row in body}
  for name in ("loss", "rediffuse"):
    found = [last[name, size] for size in dose.SET_SIZES]
    assert found == sorted(found)
    assert found[-1] > 0.5


@pytest.mark.parametrize(
  ("found", "said"),
  [
    ((math.inf, (30.0, math.inf)), ">300 [30, >300]"),
    ((250.0, (math.inf, math.inf)), "250 [>300, >300]"),
    ((250.4, (120.0, 290.0)), "250 [120, 290]"),
    ((0.0, (0.0, 0.0)), "<1"),
    ((math.inf, (math.inf, math.inf)), ">300"),
  ],
)
def test_a_crossing_is_said_with_what_is_out_of_reach(found, said):
  record = {"doses": [1, 300], "crossing": dose.Crossing(*found)}
  assert doses.passes(record) == said


@pytest.mark.parametrize("values", [(0, 10), ("few", "many"), ("few", 10)])
def test_an_ablation_without_doses_is_none_of_them(parts, values):
  first, second = values
  rows = [
    r | {"value": first if r["value"] < 10 else second} for r in parts["dose_toy"]
  ]
  assert doses.of_ablation("dose_toy", pivot.groups(rows, "value")) == {}
  assert doses.drawn("dose_toy", rows) == []
  assert doses.explored("dose_toy", rows, rows) is None


def test_no_other_ablation_has_such_tables(parts):
  by_value = study.with_reference(parts["dose_toy"])
  assert doses.of_ablation("epochs", by_value) == {}
  assert doses.drawn("epochs", []) == []


def test_the_figure_is_drawn_in_the_ablations_place(parts, made, tmp_path):
  drawn = studies.draw(parts, made[1], tmp_path)
  assert {path.name for path in drawn} >= {"dose_toy.svg", "dose_toy.png"}
  svg = (tmp_path / "dose_toy.svg").read_bytes()
  studies.draw(parts, made[1], tmp_path)
  assert (tmp_path / "dose_toy.svg").read_bytes() == svg


def test_trainings_with_another_seed_stand_together(parts, made):
  assert not any(name.endswith("_seeds") for name in made[0])
  found = doses.of_seeds(parts | {"dose_toy_seed1": parts["dose_toy"]})
  assert list(found) == ["dose_toy_seeds"]
  head, _, *body = cells(found["dose_toy_seeds"])
  assert head[-2:] == ["passes 0.75 at [95%]", "each training at"]
  alone = {row[0]: row for row in cells(made[0]["dose_toy_passes"])[2:]}
  assert {row[0] for row in body} == alone.keys()
  for row in body:
    # The same training twice is that training.
    assert row[:-1] == alone[row[0]]
    dose_at = row[-2].split()[0]
    assert row[-1] == f"{dose_at}, {dose_at}"
