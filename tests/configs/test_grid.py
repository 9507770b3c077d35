"""The 2 x 2 grid: what its cells name is embedded, and is what they say."""

import itertools

import jax
import numpy as np
import pytest

from configs import grid, mini, sweep_grid, tune_musicldm
from lsaprobe_jax.models import checkpoints, registry
from lsaprobe_jax.scoring.settings import Experiment
from lsaprobe_jax.scoring.sweep_settings import SweepSettings
from lsaprobe_jax.scoring.tuning import Tuning

CELLS = [
  "-".join(names)
  for names in itertools.product(("diffwave", "musicldm"), ("multigenre", "piano"))
]
# The MusicLDMs' folders together take at most this.
MAX_BYTES = 12e6


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_names_embedded_models_of_its_corpus(cell):
  config = grid.get_config(cell)
  family, corpus = cell.split("-")
  groups = {"A": "a", "B": "b", "reference": "reference"}
  assert set(config.targets) == set(groups)
  for name, source in config.targets.items():
    params, record = checkpoints.load_model(checkpoints.find_model(source))
    assert record["model"]["family"] == family
    assert record["training"]["corpus"] == corpus == config.corpus.path
    assert record["training"]["group"] == groups[name]
    trained = record["training"]["config"]["corpus"]
    assert trained["clip_seconds"] == config.corpus.clip_seconds
    # The DiffWaves' references saw more of their few tracks.
    if name != "reference":
      assert trained["clips_per_track"] == config.corpus.clips_per_track
    shapes = registry.abstract_params(record["model"])
    checkpoints.check_fit(params, shapes, source)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


def test_both_families_saw_the_same_music():
  for corpus, group in itertools.product(("multigenre", "piano"), ("a", "b")):
    folders = (
      checkpoints.find_model(f"{family}-{corpus}-{group}")
      for family in ("diffwave", "musicldm")
    )
    one, other = (
      {clip["id"] for clip in checkpoints.load_model(folder)[1]["training"]["clips"]}
      for folder in folders
    )
    assert one == other


@pytest.mark.parametrize("cell", CELLS)
def test_the_sweep_scores_what_the_cell_alone_would(cell):
  config = sweep_grid.get_config()
  changes = config.sweep.variants.cell[cell].to_dict()
  assert bool(changes) == (cell != CELLS[0])
  settings = SweepSettings.from_dict(config.to_dict())
  alone = Experiment.from_dict(grid.get_config(cell).to_dict())
  varied = settings.experiment.changed(changes)
  # A sweep has methods of its own.
  assert varied == alone.changed({"methods": []})
  assert set(settings.sweep.methods) == set(alone.methods) - {"lsa_probe"}


def test_the_diffwave_cells_are_the_embedded_benchmarks():
  for corpus in ("multigenre", "piano"):
    cell, whole = grid.get_config(f"diffwave-{corpus}"), mini.get_config(corpus)
    for name in ("corpus", "targets", "t_ratio", "distance", "tau", "search"):
      one, other = (config[name] for config in (cell, whole))
      assert one == other
    for name in grid.METHODS:
      assert cell.baselines[name] == whole.baselines[name]


def test_the_latent_weights_are_small():
  folders = [checkpoints.find_model(f"musicldm-{c}-{g}") for c, g in itertools.product(
    ("multigenre", "piano"), ("a", "b", "reference")
  )]  # fmt: skip
  sizes = [path.stat().st_size for folder in folders for path in folder.iterdir()]
  assert sum(sizes) <= MAX_BYTES


@pytest.mark.parametrize("name", ["baselines", "waveform", "mr_stft"])
def test_settings_are_tried_on_tune_tracks(name):
  tuning = Tuning.from_dict(tune_musicldm.get_config(name).to_dict())
  assert tuning.base.part == "tune"
  assert set(tuning.base.targets) == {"A", "B"}
  assert len(tuning.grid) > 1


@pytest.mark.parametrize("module", [grid, sweep_grid, tune_musicldm])
def test_another_name_is_refused(module):
  with pytest.raises(ValueError, match=r"no (cell|grid) 'jazz'; known:"):
    module.get_config("jazz")
