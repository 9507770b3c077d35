"""The fuzzer: what it finds in a few hundred inputs, and that it would notice."""

import os
import signal

import numpy as np
import pytest

from lsaprobe_jax.data import audio
from tests.stress import fuzzing, mutations, specimens, structures


@pytest.mark.slow
def test_a_few_hundred_mutated_inputs_are_all_explained(tmp_path):
  outcomes = fuzzing.fuzz(tmp_path / "fuzz", 300, seed=1)
  assert outcomes.total() == 300
  kept = [path.read_text() for path in tmp_path.glob("fuzz/*/outcome.txt")]
  assert kept == []
  assert {kind for kind, _ in outcomes} == set(mutations.KINDS)
  said = {name.split(":")[0] for _, name in outcomes}
  assert said == {"accepted", "refused"}
  accepted = {kind for kind, name in outcomes if name == "accepted"}
  assert accepted > {*specimens.SOUND, "records", "model", "network", "config", "rows"}


def test_the_fuzzer_sees_samples_that_are_not_the_files(tmp_path, monkeypatch):
  """As from a buffer that holds what was decoded before it."""
  seeds = tmp_path / "seeds"
  seeds.mkdir()
  specimens.make_seeds(seeds)
  (tmp_path / "own").mkdir()
  whole = (seeds / "wav").read_bytes()
  path = tmp_path / "own" / "cut.wav"
  path.write_bytes(whole[: len(whole) // 2])
  assert fuzzing.read("wav", path) == "accepted"
  decode, before = audio.decode, []

  def stale(source):
    samples, rate = decode(source)
    if before and source == path:
      samples = np.concatenate([samples, before[-1][:100]])
    before.append(samples)
    return samples, rate

  monkeypatch.setattr(audio, "decode", stale)
  assert fuzzing.read("wav", path) == "unexplained: a result that is not valid"


@pytest.mark.parametrize("seed", range(40))
def test_hostile_structures_are_refused_or_read(tmp_path, seed):
  path = tmp_path / "input.torch"
  path.write_bytes(structures.torch_file(np.random.default_rng(seed)))
  assert not fuzzing.read("torch", path).startswith("unexplained")


def test_the_fuzzer_sees_crashes_hangs_and_memory(tmp_path, monkeypatch):
  """Each kind of failure, provoked in the process that reads."""
  reader = fuzzing.Reader()
  try:
    assert reader("wav", tmp_path / "none.wav") == "refused: AudioError"
    os.kill(reader._process.pid, signal.SIGSEGV)
    assert "crash, exit code -11" in reader("wav", tmp_path / "none.wav")
    assert reader("wav", tmp_path / "none.wav") == "refused: AudioError"
    monkeypatch.setattr(fuzzing, "SECONDS", 0.2)
    os.kill(reader._process.pid, signal.SIGSTOP)
    assert "no answer within" in reader("wav", tmp_path / "none.wav")
  finally:
    reader.close()


def test_the_same_seed_gives_the_same_inputs(tmp_path):
  (tmp_path / "seeds").mkdir()
  specimens.make_seeds(tmp_path / "seeds")
  made = []
  for name in "xy":
    (tmp_path / name).mkdir()
    rng = np.random.default_rng([0, 5])
    path = mutations.write_input(tmp_path / "seeds", tmp_path / name, "flac", rng)
    made.append(path.read_bytes())
  assert made[0] == made[1] != (tmp_path / "seeds" / "flac").read_bytes()
