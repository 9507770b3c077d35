"""Notebooks, cell after cell, on small settings."""

import json
import pathlib
import sys
import types

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
import tiny_musicldm as tiny

NOTEBOOKS = pathlib.Path(__file__).parents[1] / "notebooks"


@pytest.fixture
def run(monkeypatch, capsys):
  """`run(name)` -> (its variables, what it printed, the sounds it offered)."""
  sounds = []
  shown = types.ModuleType("IPython.display")
  shown.display = lambda item: None
  shown.Markdown = str
  shown.Audio = lambda data, rate: sounds.append((np.asarray(data), rate))
  monkeypatch.setitem(sys.modules, "IPython.display", shown)
  monkeypatch.setenv("LSAPROBE_SMALL", "1")
  # The launcher that a notebook starts is this tree's.
  monkeypatch.setenv("PYTHONPATH", str(NOTEBOOKS.parent))
  plt.switch_backend("Agg")

  def run(name):
    cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())["cells"]
    # One namespace, as a kernel would; without starting one.
    space = {}
    for cell in cells:
      if cell["cell_type"] == "code":
        exec(compile("".join(cell["source"]), f"{name}.ipynb", "exec"), space)
    plt.close("all")
    return space, capsys.readouterr().out, sounds

  return run


@pytest.fixture
def hasty():
  """Compiles in less time what is hardly run."""
  jax.config.update("jax_disable_most_optimizations", True)
  yield
  jax.config.update("jax_disable_most_optimizations", False)


def test_all_notebooks_are_run_here_and_keep_outputs():
  source = pathlib.Path(__file__).read_text()
  for path in NOTEBOOKS.glob("*.ipynb"):
    assert f'run("{path.stem}")' in source
    assert any(cell.get("outputs") for cell in json.loads(path.read_text())["cells"])


def test_tour(run):
  space, printed, sounds = run("tour")
  assert "A was trained on this clip: True" in printed
  assert "B was trained on this clip: False" in printed
  assert printed.count("C_adv <=") == 2
  assert all(0 < cost <= 0.8 + 1e-6 for cost in space["costs"].values())
  assert [(len(sound), rate) for sound, rate in sounds] == [(4096, 8000)] * 4
  assert all(np.isfinite(sound).all() for sound, _ in sounds)
  assert space["found"] > 0


def test_train_and_cross_over(run):
  space, printed, _ = run("train_and_cross_over")
  assert all(np.isfinite(losses).all() for losses in space["losses"].values())
  found = {(record["method"], record["model"]) for record in space["records"]}
  assert found == {(m, n) for m in ("loss", "lsa_probe") for n in ("A", "B", "mean")}
  assert "mean   waveform" in printed


def test_port_a_checkpoint(run, hasty, monkeypatch, tmp_path):
  pipeline = tiny.save_pipeline(tmp_path / "pipeline")
  monkeypatch.setenv("LSAPROBE_PIPELINE", str(pipeline))
  space, printed, sounds = run("port_a_checkpoint")
  assert set(space["params"]) == {"unet", "vae", "vocoder", "conditioning"}
  assert printed.count("eta ") == 3
  assert np.all(np.asarray(space["curve"].worst) > 0)
  assert len(sounds[0][0]) == len(space["audio"])
