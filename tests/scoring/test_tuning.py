"""Tuning: choices read tune tracks alone, and what is tried is checked beforehand."""

import shutil

import pytest
import tiny_parted
from stored_rows import read_rows

from configs import tune_mini, tune_musicldm
from lsaprobe_jax.data import splits
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.scoring import tuning as tuning_lib
from lsaprobe_jax.scoring.tuning import Tuning, tune

GRID = [{"t_ratio": t, "baselines.loss.t_ratio": t} for t in (0.2, 0.6)]


@pytest.fixture(scope="module")
def parted(tmp_path_factory):
  """Changes of an experiment without a reference model, on tune tracks."""
  changes = tiny_parted.changes(tmp_path_factory.mktemp("of"))
  del changes["targets.reference"]
  return changes | {"part": "tune", "methods": ("loss", "lsa_probe")}


def tuning(changes, grid=GRID) -> Tuning:
  """Settings of seconds tried on whatever corpus and models the changes name."""
  values = tune_mini.get_config("probe").to_dict()
  base = Tuning.from_dict(values | {"grid": []}).base.changed(changes).to_dict()
  return Tuning.from_dict({"base": base, "eta_refs": (0.2,), "grid": grid})


def test_choices_are_the_same_where_there_are_no_test_tracks(tmp_path, parted):
  without = tmp_path / "without" / "tiny"
  shutil.copytree(parted["corpus.path"], without)
  gone = [p for g in "ab" for p in (without / g).iterdir() if is_of_test(p)]
  assert len(gone) == 4
  for path in gone:
    path.unlink()
  tables = []
  for name, corpus in (("whole", parted["corpus.path"]), ("less", str(without))):
    said = []
    table = tune(
      tuning(parted | {"corpus.path": corpus}),
      tmp_path / name,
      lambda number, text, said=said: said.append((number, text)),
    )
    tables.append(table)
    assert (tmp_path / name / "tried.md").read_text() == table
    assert [number for number, _ in said] == [0, 1]
    rows = [line for _, text in said for line in text.splitlines()[2:]]
    assert table.splitlines()[2:] == rows
    tried = read_rows(tmp_path / name / "tried.jsonl")
    assert [line["changes"] for line in tried] == GRID
    for path in (tmp_path / name).glob("*/scores.jsonl"):
      scored = {row["track"] for row in read_rows(path) if row["group"] in "ab"}
      assert {splits.part_of(track) for track in scored} == {"tune"}
  assert tables[0] == tables[1]
  assert "lsa_probe, eta_ref=0.2" in tables[0]


def is_of_test(path) -> bool:
  return splits.part_of(path.stem) == "test"


def test_what_was_tried_is_not_tried_again(tmp_path, parted):
  first = tune(tuning(parted, GRID[:1]), tmp_path)
  made = {path: path.read_bytes() for path in tmp_path.glob("*/*.jsonl")}
  assert made
  assert tune(tuning(parted, GRID[:1]), tmp_path) == first
  # The folder of a setting does not depend on what else is tried.
  less = {"batch_size": 1, "bootstrap_resamples": 20}
  tune(tuning(parted | less, GRID), tmp_path)
  assert made.items() < {p: p.read_bytes() for p in tmp_path.glob("*/*.jsonl")}.items()
  # Nor on what decides none of its rows.
  assert len(list(tmp_path.glob("*/run.json"))) == len(GRID)


def test_a_folder_that_was_named_by_all_settings_is_gone_on_with(tmp_path, parted):
  settings = tuning(parted | {"batch_size": 3}).grid[0][1]
  fresh = tuning_lib._own_folder(tmp_path, settings)
  assert fresh == tuning_lib._own_folder(tmp_path, settings.changed({"batch_size": 2}))
  older = tmp_path / tuning_lib._short_hash(settings.to_dict())
  assert older != fresh
  older.mkdir()
  assert tuning_lib._own_folder(tmp_path, settings) == older


@pytest.mark.parametrize(
  ("changes", "grid", "message"),
  [
    ({"part": "test"}, GRID, r"^grid\[0\]: part is test: choices are made on tune"),
    ({}, [{"part": "all"}], r"^grid\[0\]: part is all: choices are made on tune"),
    ({}, [*GRID, {"t_ration": 0.1}], r"^grid\[2\]\.t_ration: there is no such setting"),
    ({}, [{"search.eta_max": 0}], r"^grid\[0\]\.search\.eta_max=0: above 0"),
    ({}, [{"search.name": "luck"}], r"^grid\[0\]\.search\.name=luck: known: "),
    ({}, [{"search.name": "bisection"}], r"^grid\[0\]\.search\.name=.*no curves"),
    (
      {"methods": ("lsa_probe", "loss_nfe_matched")},
      GRID,
      r"^grid\[0\]\.methods: loss_nfe_matched goes by the NFE of a probe",
    ),
    ({}, [{"search.eta_max": 1e-3}], r"^grid\[0\]\.tau\.eta_ref=.*beyond search"),
  ],
)
def test_a_grid_that_cannot_be_tried_is_refused(parted, changes, grid, message):
  with pytest.raises(SettingError, match=message):
    tuning(parted | changes, grid)


def test_a_base_and_budgets_that_cannot_be_are_refused():
  values = tune_mini.get_config("probe").to_dict()
  with pytest.raises(SettingError, match=r"^base\.colour: there is no such setting"):
    Tuning.from_dict(values | {"base": values["base"] | {"colour": 1}})
  # Nothing is in it but what a cross-over of two models says.
  alone = values["base"] | {"targets": {"model": "diffwave-multigenre-a"}}
  with pytest.raises(SettingError, match=r"^grid\[0\]: targets: .* models A and B"):
    Tuning.from_dict(values | {"base": alone, "grid": [{}]})
  # What launch.eval takes is no grid.
  with pytest.raises(SettingError, match=r"^base: the config has none; .* base, eta_r"):
    Tuning.from_dict(values["base"])
  with pytest.raises(SettingError, match=r"^eta_refs=0: above 0"):
    Tuning.from_dict(values | {"eta_refs": (0,)})


@pytest.mark.parametrize("part", splits.PARTS)
def test_parts_share_no_track(part):
  names = [f"track-{i}" for i in range(300)]
  parts = {name: splits.part_of(name) for name in names}
  assert set(parts.values()) == {"tune", "test"}
  assert part == "all" or 0.2 < list(parts.values()).count(part) / 300 < 0.8


def test_the_grids_of_the_repository_are_of_settings_that_there_are():
  grids = [(tune_mini, name) for name in tune_mini._GRIDS]
  grids += [(tune_musicldm, name) for name in ("baselines", "waveform", "mr_stft")]
  for module, name in grids:
    made = Tuning.from_dict(module.get_config(name).to_dict())
    assert len(made.grid) == len(module.get_config(name).grid) > 0
    assert set(made.base.targets) == {"A", "B"}
