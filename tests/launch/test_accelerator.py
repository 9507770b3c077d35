"""The accelerator's script, rehearsed on a CPU, and the values it compares with."""

import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import numerics, numerics_pieces

ROOT = pathlib.Path(__file__).parents[2]
STORED = ROOT / "benchmarks" / "numerics.npz"
# Rounding in another order, other instructions, another version of XLA.
CLOSE = 2e-5


def read(path: pathlib.Path) -> list[dict]:
  return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("name", ["waveform of waveforms", "DiffWave D in waveform"])
def test_stored_values_are_what_a_cpu_computes(name):
  with np.load(STORED) as file:
    stored = dict(file)
  found, _ = numerics.compute(numerics_pieces.pieces()[name], "float32", stored)
  assert set(found) == {"value", "gradient's norm", "gradient along directions"}
  for part, value in found.items():
    expected = stored[f"{name}: {part}"]
    assert np.all(np.isfinite(expected))
    assert numerics.relative_error(value, expected) < CLOSE, part


def test_a_wrong_value_is_an_error():
  with np.load(STORED) as file:
    value = file["DiffWave D in waveform: value"]
  assert numerics.relative_error(1.01 * value, value) == pytest.approx(0.01, rel=1e-3)
  assert numerics.relative_error(np.full_like(value, np.nan), value) == np.inf


def test_every_piece_is_stored_in_a_small_file():
  with np.load(STORED) as file:
    pieces = {name.rpartition(": ")[0] for name in file if ": " in name}
    searches = [name for name in file if name.endswith("C_adv")]
    # Each search crosses tau, so that what is compared is a budget.
    assert all(np.any(np.isfinite(file[name])) for name in searches)
  assert pieces == set(numerics_pieces.pieces())
  assert len(searches) == 6
  assert STORED.stat().st_size < 300_000


@pytest.mark.slow
def test_the_script_is_rehearsed(tmp_path):
  """All parts at tiny sizes: the figures of each table, and not only its file."""
  pytest.importorskip("torch")
  pytest.importorskip("diffusers")
  env = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHON": sys.executable}
  done = subprocess.run(
    ["bash", "benchmarks/accelerator.sh", "--tiny", str(tmp_path)],
    cwd=ROOT, env=env, capture_output=True, text=True, timeout=500,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  parts = (tmp_path / "parts.txt").read_text()
  assert len(re.findall(r": done in \d+ s", parts)) == 5, parts
  summary = (tmp_path / "accelerator.md").read_text()
  assert summary == done.stdout
  table = (tmp_path / "numerics.md").read_text()
  errors = re.findall(r"^\| .* \| float32 \| ([\d.e+-]+) \|", table, re.MULTILINE)
  assert len(errors) >= 12
  assert max(map(float, errors)) < 1e-2
  check_throughput(tmp_path)
  check_fair(tmp_path)


def check_throughput(folder):
  rows = read(folder / "lmnt_throughput.jsonl")
  timed = {(r["precision"], r["batch"]): r for r in rows if r["kind"] == "timed"}
  assert timed.keys() == {("float32", 2), ("bfloat16", 2)}
  for row in timed.values():
    assert min(row["seconds"]) > 0
    assert 0 < row["shares"]["compute"] < 1
  (largest,) = [row for row in rows if row["kind"] == "largest"]
  assert largest["fit"] > 4
  assert largest["batch"] == 4 * len(os.sched_getaffinity(0))
  assert largest["finite"]
  roofs = [row for row in rows if row["kind"] == "roofs"]
  assert {row["precision"] for row in roofs} == {"float32", "bfloat16"}
  assert all(row["copy"] > 1e8 for row in roofs)


def check_fair(folder):
  for name, precisions in (
    ("lmnt", {"float32", "bfloat16"}),
    ("published", {"float32"}),
  ):
    rows = read(folder / f"{name}.jsonl")
    timed = {(r["side"], r["precision"]): r for r in rows if "times" in r}
    assert {p for side, p in timed if side == "jax"} == precisions
    peer, ours = timed["eager", "float32"], timed["jax", "float32"]
    assert peer["gradients"] == ours["gradients"] == 6
    assert peer["differs"][0] < 1e-3
    assert len(peer["times"]) == 2
