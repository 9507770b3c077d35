"""A corpus that is built again: what was there goes when all is built, not before."""

import numpy as np
import pytest
import soundfile
from made_up import track

from lsaprobe_jax.data import manifest
from lsaprobe_jax.data.build import fetch, recipes, sources
from lsaprobe_jax.data.corpus import open_corpus

RATE = 16000


@pytest.fixture
def build(tmp_path, monkeypatch):
  """`build(**settings)` builds two tracks as if unpacked from a Debian package."""
  package = tmp_path / "package"
  (package / "music").mkdir(parents=True)
  for number in range(2):
    samples = 0.1 * np.random.default_rng(number).normal(size=6 * RATE)
    soundfile.write(package / "music" / f"{number}.flac", samples, RATE)
  monkeypatch.setattr(fetch, "debian", lambda *args: (package, "1.0"))
  listed = (track(0, "a"), track(1, "b"))
  monkeypatch.setattr(sources, "multigenre", lambda *, extended: listed)

  def built(**settings):
    recipe = recipes.Recipe(corpus="multigenre", segments_per_track=1, **settings)
    recipes.build(recipe, tmp_path / "corpus", tmp_path / "downloads")
    return tmp_path / "corpus"

  return built


def contents(folder):
  return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_rebuilding_removes_the_earlier_tracks_only(build):
  folder = build()
  (folder / "mine.txt").write_text("keep")
  build(shipped=True)
  assert not (folder / "track-0.ogg").exists()
  assert (folder / "mine.txt").exists()


@pytest.mark.parametrize("error", [fetch.FetchError("no network"), KeyboardInterrupt()])
def test_a_build_that_fails_leaves_what_was_there(build, monkeypatch, error):
  folder = build()
  before = contents(folder)

  def failing(*args):
    raise error

  monkeypatch.setattr(fetch, "debian", failing)
  with pytest.raises(type(error)):
    build()
  assert contents(folder) == before


def test_a_damaged_manifest_is_mended_by_the_build_that_it_asks_for(build):
  folder = build()
  before = contents(folder)
  (folder / manifest.FILENAME).write_text("{")
  build()
  assert contents(folder) == before


def test_a_folder_that_is_called_as_a_corpus_is_told_from_it(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for number in range(2):
    path = tmp_path / "piano" / "ab"[number] / f"{number}.wav"
    path.parent.mkdir(parents=True)
    samples = 0.1 * np.random.default_rng(number).normal(size=RATE)
    soundfile.write(path, samples, RATE)
  how = dict(sample_rate=RATE, clip_seconds=0.5, clips_per_track=1)
  with pytest.raises(ValueError, match=r"^piano: a folder here.* write \./piano"):
    open_corpus("piano", **how)
  assert len(open_corpus("./piano", **how)) == 2
