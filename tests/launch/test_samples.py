"""benchmarks.samples: sounds of a model, and a page that plays them."""

import re

import numpy as np
import pytest
import soundfile
from launching import complaint
from tiny_tracks import MODEL, tiny_weights, write_track

from lsaprobe_jax.data.corpus import open_corpus
from lsaprobe_jax.models import checkpoints

SHORT = ("--num_inference_steps=2", "--count=1", "--draws=2", "--t_ratios=0.5")


@pytest.fixture
def folder(tmp_path):
  """A model of group a of a corpus in which a title is unfriendly."""
  for seed, name in enumerate(("a/<b>one & two", "a/three", "b/four")):
    write_track(tmp_path / "music" / f"{name}.wav", seed)
  corpus = dict(path=str(tmp_path / "music"), clip_seconds=0.256, clips_per_track=1)
  seen = open_corpus(corpus["path"], sample_rate=8000, clip_seconds=0.256,
                     clips_per_track=1, groups=["a"])  # fmt: skip
  clips = [{"id": clip.id, "sha256": clip.sha256} for clip in seen.clips]
  training = {"config": {"corpus": corpus}, "group": "a", "clips": clips}
  checkpoints.save_model(tmp_path / "model", tiny_weights(MODEL, 0), MODEL, training)
  checkpoints.save_model(tmp_path / "bare", tiny_weights(MODEL, 0), MODEL, {})
  return tmp_path


def test_a_page_with_sounds(folder, launcher):
  output = folder / "samples"
  args = (f"--models={folder / 'model'}", f"--output={output}", *SHORT)
  done = launcher.run("benchmarks.samples", *args)
  assert done.returncode == 0, done.stderr
  page = (output / "index.md").read_text()
  played = re.findall(r'src="([^"]+)"', page)
  # One clip of each half in three forms, and two draws.
  assert len(played) == len(set(played)) == 2 * 3 + 2
  assert set(played) == {path.name for path in output.glob("*.flac")}
  sounds = {name: soundfile.read(output / name) for name in played}
  assert {(len(x), rate) for x, rate in sounds.values()} == {(2048, 8000)}
  assert all(np.std(x) > 0 for x, _ in sounds.values())
  # A model on waveforms has nothing to encode.
  np.testing.assert_array_equal(
    sounds["model-0-clip.flac"][0], sounds["model-0-coded.flac"][0]
  )
  draws = [sounds[f"model-drawn-{draw}.flac"][0] for draw in range(2)]
  assert not np.array_equal(*draws)
  assert page.count("<td>trained on</td>") == page.count("<td>never seen</td>") == 1
  assert "<b>" not in page
  before = {path.name: path.read_bytes() for path in output.iterdir()}
  assert launcher.run("benchmarks.samples", *args).returncode == 0
  assert before == {path.name: path.read_bytes() for path in output.iterdir()}


def test_what_cannot_be_played(folder, launcher):
  output = f"--output={folder / 'none'}"
  for name, message in (("nowhere", "no model folder"), ("bare", "training clips")):
    line = complaint(
      launcher.run("benchmarks.samples", f"--models={folder / name}", output)
    )
    assert f"--models={folder / name}" in line
    assert message in line
  for times, message in (("x", "could not convert"), ("2", "t_ratio=2.0 gives")):
    args = (f"--models={folder / 'model'}", output, f"--t_ratios={times}")
    line = complaint(launcher.run("benchmarks.samples", *args))
    assert "--t_ratios" in line
    assert message in line
