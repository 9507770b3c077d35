"""The benchmarks on tiny models: tables whole, tau shared, tune tracks alone."""

import json
import re

import pytest
from launching import eval_flags
from stored_rows import read_rows

SEARCHES = {
  "bisection",
  "continuation",
  "minimum_norm",
  "auto_pgd",
  "random_directions",
}
SHORT = {
  "search.bisection.halvings": 2,
  "search.bisection.ascent_steps": 2,
  "search.bisection.restarts": 1,
  "search.auto_pgd.halvings": 2,
  "search.auto_pgd.ascent_steps": 2,
  "search.minimum_norm.steps": 2,
}


def test_searches_are_compared_on_the_same_clips(tmp_path, launcher, parted):
  flags = eval_flags(tmp_path, parted | SHORT, "--distances=waveform")
  done = launcher.run("benchmarks.searches", *flags)
  assert done.returncode == 0, done.stderr
  rows = read_rows(tmp_path / "waveform" / "scores.jsonl")
  assert {row["method"] for row in rows} == SEARCHES
  # Tune tracks alone, each under both models, and one tau a model for all searches.
  assert {row["track"] for row in rows} == {"a00", "a01", "a04", "b06", "b10"}
  clips = {row["clip"] for row in rows}
  assert len(rows) == len(SEARCHES) * 2 * len(clips)
  for model in "AB":
    assert len({row["tau"] for row in rows if row["model"] == model}) == 1
  table = (tmp_path / "search.md").read_text()
  assert table.strip() in done.stdout
  for name in SEARCHES:
    assert re.search(rf"^\| {name} \| [\d.]+ \|", table, re.MULTILINE)


def test_the_bootstrap_is_timed_against_scikit_learn(tmp_path, launcher):
  output = tmp_path / "bootstrap.md"
  flags = (f"--output={output}", "--resamples=20")
  done = launcher.run("benchmarks.bootstrap", *flags)
  assert done.returncode == 0, done.stderr
  assert "2000 clips of 500 tracks, 12 methods, 20 resamples" in done.stdout
  assert output.read_text().strip() == done.stdout.strip()


@pytest.mark.slow
def test_scaling_counts_what_it_runs(tmp_path, launcher):
  output = tmp_path / "scaling.md"
  flags = ("--clips=8", "--size=tiny_diffwave", "--parts=steps,devices")
  done = launcher.run("benchmarks.scaling", f"--output={output}", *flags)
  assert done.returncode == 0, done.stderr
  text = output.read_text()
  parts = re.split(r"^## ", text, flags=re.MULTILINE)
  rows = {
    part.splitlines()[0]: [
      [cell.strip() for cell in line.strip("| ").split("|")]
      for line in part.splitlines()[4:]
      if line.startswith("|")
    ]
    for part in parts[1:]
  }
  # The rate is that of the last row, which the model therefore says exactly.
  assert rows["Clips"][-1][-1] == "1.00"
  steps = {int(row[0]): float(row[2]) for row in rows["Steps of the reverse process"]}
  assert steps[8] == pytest.approx(8 * steps[1], rel=1e-2)
  # Devices share nothing but the clips.
  assert [row[-1] for row in rows["Devices"]] == ["0"] * 4


@pytest.mark.parity
def test_the_pytorch_program_computes_what_ours_does(tmp_path, launcher):
  """D along the climb, or at its start, is compared before anything is timed."""
  pytest.importorskip("torch")
  output = tmp_path / "fair.md"
  flags = (
    "--sizes=tiny_diffwave", "--peers=eager", "--rungs=2", "--rounds=2", "--clips=2",
    "--batches=1", "--distances=log_mel,mr_stft", "--searches=minimum_norm,bisection",
  )  # fmt: skip
  done = launcher.run("benchmarks.fair", f"--output={output}", *flags)
  assert done.returncode == 0, done.stderr
  rows = [json.loads(line) for line in output.with_suffix(".jsonl").open()]
  timed = {(row["side"], row["distance"], row["search"]): row for row in rows}
  assert timed.keys() == {
    ("jax", "waveform", "continuation"),
    ("eager", "waveform", "continuation"),
    ("jax", "log_mel", "continuation"),
    ("eager", "log_mel", "continuation"),
    ("jax", "mr_stft", "continuation"),
    ("eager", "mr_stft", "continuation"),
    ("jax", "waveform", "minimum_norm"),
    ("jax", "waveform", "bisection"),
    ("eager", "waveform", "bisection"),
  }
  for (side, distance, search), row in timed.items():
    assert "error" not in row
    assert len(row["times"]) == 2
    assert min(row["times"]) > 0
    assert search != "continuation" or row["gradients"] == 6
    if side == "eager":
      # The kinks of MR-STFT part the climbs; D and its gradient agreed at the start.
      if search == "continuation" and distance != "mr_stft":
        assert row["differs"][0] < 1e-3
      if distance != "mr_stft":
        assert row["same_cost"] == 2
      # The peer's time over ours is that of the same round.
      ours = timed["jax", distance, search]["times"]
      assert row["over_ours"][1] == pytest.approx(row["times"][1] / ours[1])
  table = output.read_text()
  assert re.search(r"^\| float32 \| log_mel .* PyTorch eager \|", table, re.MULTILINE)
