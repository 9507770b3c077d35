"""MAESTRO and FMA from folders in their layout, built and read without TensorFlow."""

import dataclasses
import hashlib
import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
from originals import COPIED, PERFORMANCES, write_fma, write_maestro

from configs import paper_diffwave
from lsaprobe_jax.data import manifest as manifests
from lsaprobe_jax.data.audio import AudioError
from lsaprobe_jax.data.build.tfds import building, maestro, planning
from lsaprobe_jax.data.build.tfds.fma import Fma
from lsaprobe_jax.data.build.tfds.maestro import MaestroV3
from lsaprobe_jax.data.corpus import open_corpus
from lsaprobe_jax.scoring import recording


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
  folder = tmp_path_factory.mktemp("maestro")
  return write_maestro(folder)


@pytest.fixture(scope="module")
def piano(originals, tmp_path_factory):
  config = building.MusicConfig.named(sample_rate=16000, segment_seconds=2.0)
  return building.build(MaestroV3, config, originals, tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def fma_originals(tmp_path_factory):
  return write_fma(tmp_path_factory.mktemp("fma"))


@pytest.fixture(scope="module")
def fma(fma_originals, tmp_path_factory):
  config = building.MusicConfig.named("large", subset="large", segment_seconds=3.0)
  return building.build(Fma, config, fma_originals, tmp_path_factory.mktemp("built"))


def test_maestro_splits_by_work_and_performer(piano):
  tracks = manifests.read(piano).tracks
  assert {track.group for track in tracks} >= {"a", "b"}
  for name in ("duplicates", "package"):
    group_of = {}
    for track in tracks:
      assert group_of.setdefault(getattr(track, name), track.group) == track.group
  left = dict(manifests.read(piano).recipe["left_out"])
  assert len(tracks) + len(left) == len(PERFORMANCES) + 1


def test_a_copy_under_another_name_joins_the_work(originals):
  root = originals / "maestro-v3.0.0"
  listed, _ = MaestroV3(data_dir=originals).sources(root)
  copies = [listed[COPIED], listed[-1]]
  assert len({source.work for source in copies}) == 2
  works = planning.make_plan(root, listed, []).works
  assert len({works[source.track] for source in copies}) == 1
  # Nothing else is joined but what the titles say.
  assert len(set(works.values())) == len({source.work for source in listed}) - 1


@pytest.mark.parametrize(
  ("year", "name", "who"),
  [
    *((p[2], p[3], w) for p, w in zip(PERFORMANCES, (
      "2017-066", "2006-024", "2009-011", "2018-015", "2018-002", "2004-020",
      "2015-012", "2011-004", "2013-003", "2014-015", "2014-013", "2008-009",
    ), strict=True)),
    (2019, "something--else", "2019-something"),
  ],
)  # fmt: skip
def test_maestro_performers_are_told_by_file_name(year, name, who):
  assert maestro.performer(str(year), f"{year}/{name}.wav") == who


def test_maestro_titles_of_one_work_are_one():
  titles = ("Sonata No. 9, Op. 68", 'Sonata No. 9, Op. 68, "Black Mass"', "Opus 68")
  assert len({maestro.work("Scriabin", title) for title in titles}) == 1
  mozart = [maestro.work("Mozart", f"Sonata {k}") for k in ("K. 457", "K457", "KV 457")]
  assert len(set(mozart)) == 1
  assert maestro.work("Haydn", "Hob. XVI:48") != maestro.work("Haydn", "Hob. XVI:49")


def test_records_are_the_corpus_and_stream(piano):
  corpus = open_corpus(piano, sample_rate=16000, clip_seconds=2.0)
  assert not isinstance(corpus.audio, np.ndarray)
  assert corpus.audio.shape == (len(corpus), 32000)
  some = corpus.select(["a"]).per_track(1)
  clips = some.audio[:]
  assert clips.dtype == np.float32
  for clip, samples in zip(some.clips, clips, strict=True):
    assert hashlib.sha256(samples.tobytes()).hexdigest() == clip.sha256
  np.testing.assert_array_equal(some.audio[1], clips[1])
  np.testing.assert_array_equal(some.audio[np.array([1, 0, 0])], clips[[1, 0, 0]])
  taken = some.audio.take([1], axis=0)
  np.testing.assert_array_equal(taken[0:1], clips[1:2])


def test_records_at_another_rate_and_length(piano):
  corpus = open_corpus(piano, sample_rate=8000, clip_seconds=0.5, clips_per_track=5)
  assert corpus.audio.shape[1] == 4000
  assert {len(clip.id.split("+")[1]) for clip in corpus.clips} == {3}
  for i in (0, 4, len(corpus) - 1):
    sha256 = hashlib.sha256(corpus.audio[i].tobytes()).hexdigest()
    assert sha256 == corpus.clips[i].sha256
  with pytest.raises(AudioError, match="smaller clip_seconds"):
    open_corpus(piano, sample_rate=16000, clip_seconds=2.5)


def test_records_are_shortened_and_recorded_as_arrays_are(piano, tmp_path):
  corpus = open_corpus(piano, sample_rate=8000, clip_seconds=0.5, clips_per_track=1)
  array = dataclasses.replace(corpus, audio=corpus.audio[:])
  short = corpus.head(0.25)
  assert short.audio.shape == (len(corpus), 2000)
  np.testing.assert_array_equal(short.audio[:], array.head(0.25).audio)
  for name, one in (("records", corpus), ("array", array)):
    recording._keep_sounds(tmp_path / name, one, set())
  assert (tmp_path / "records").read_bytes() == (tmp_path / "array").read_bytes()


def test_building_again_gives_the_same_bytes(piano, originals, tmp_path):
  config = building.MusicConfig.named(sample_rate=16000, segment_seconds=2.0)
  again = building.build(MaestroV3, config, originals, tmp_path)
  names = sorted(path.name for path in piano.glob("*.array_record*"))
  assert names
  for name in (*names, manifests.FILENAME):
    assert manifests.sha256(piano / name) == manifests.sha256(again / name)


def test_workers_keep_the_order():
  jobs = range(-7, 0)
  assert list(planning.ordered_map(abs, jobs, workers=2)) == [7, 6, 5, 4, 3, 2, 1]


def test_fma_skips_what_is_broken_and_splits_by_artist(fma):
  manifest = manifests.read(fma)
  left = dict(manifest.recipe["left_out"])
  assert "known to be broken" in left["fma_large/001/001486.mp3"]
  assert "decoded" in left["fma_large/004/004000.mp3"]
  assert "no such file" in left["fma_large/004/004001.mp3"]
  assert not any("004002" in path for path in left)
  group_of = {}
  for track in manifest.tracks:
    assert group_of.setdefault(track.package, track.group) == track.group
  assert len(manifest.tracks) + len(left) == 17
  assert all(
    track.title.startswith("Title, with a comma\n") for track in manifest.tracks
  )


def test_small_takes_its_subset(fma_originals, tmp_path):
  folder = tmp_path
  (folder / "fma_metadata").symlink_to(fma_originals / "fma_metadata")
  (folder / "fma_small").symlink_to(fma_originals / "fma_large")
  builder = Fma(config=Fma.BUILDER_CONFIGS[1], data_dir=tmp_path / "out")
  kept, left_out = builder.sources(folder)
  assert len(kept) == 9
  assert not left_out
  assert all((folder / source.path).is_file() for source in kept)


def test_neither_folder_nor_network_says_what_to_do(tmp_path):
  class NoNetwork:
    manual_dir = tmp_path
    download_dir = tmp_path

    def download_and_extract(self, urls):
      raise ConnectionError("no route to host")

  builder = MaestroV3(data_dir=tmp_path / "out")
  with pytest.raises(AudioError, match=r"no route to host.*Unpack https://storage"):
    builder.root(NoNetwork())


def test_an_archive_without_its_folder_says_what_to_do(tmp_path):
  class WrongArchive:
    manual_dir = tmp_path
    download_dir = tmp_path

    def download_and_extract(self, urls):
      return dict.fromkeys(urls, tmp_path / "empty")

  builder = MaestroV3(data_dir=tmp_path / "out")
  with pytest.raises(AudioError, match=r"archive of .* holds no .*Unpack https://"):
    builder.root(WrongArchive())


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "\x00"])
def test_damaged_metadata_are_named(tmp_path, text):
  (tmp_path / "fma_metadata").mkdir()
  for path in (tmp_path / "fma_metadata" / "tracks.csv", tmp_path / maestro.CSV):
    path.write_text(text)
  with pytest.raises(AudioError, match=r"tracks\.csv: damaged"):
    Fma(data_dir=tmp_path / "out").sources(tmp_path)
  with pytest.raises(AudioError, match=r"maestro-v3\.0\.0\.csv: damaged"):
    MaestroV3(data_dir=tmp_path / "out").sources(tmp_path)


def test_tensorflow_is_neither_installed_nor_loaded(piano):
  assert importlib.util.find_spec("tensorflow") is None
  code = (
    "import sys; from lsaprobe_jax.data.corpus import open_corpus;"
    f"c = open_corpus({str(piano)!r}, sample_rate=16000, clip_seconds=2.0);"
    "print(c.audio[0].shape, 'tensorflow' in sys.modules)"
  )
  done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
  assert done.stdout.strip() == "(32000,) False", done.stderr


def test_a_changed_or_lost_record_is_named(piano, tmp_path):
  corpus = open_corpus(piano, sample_rate=16000, clip_seconds=2.0)
  copy = tmp_path / "copy"
  copy.mkdir()
  for path in piano.iterdir():
    (copy / path.name).write_bytes(path.read_bytes())
  record = json.loads((copy / manifests.FILENAME).read_text())
  record["tracks"][0]["segments"][0]["sha256"] = "0" * 64
  (copy / manifests.FILENAME).write_text(json.dumps(record))
  changed = open_corpus(copy, sample_rate=16000, clip_seconds=2.0)
  with pytest.raises(AudioError, match="SHA-256"):
    changed.audio[0]
  record["segment_seconds"] = 1.0
  (copy / manifests.FILENAME).write_text(json.dumps(record))
  shorter = open_corpus(copy, sample_rate=16000, clip_seconds=1.0)
  with pytest.raises(
    AudioError, match=r"copy: .* where the manifest has 16000 samples"
  ):
    shorter.audio[1]
  record["segment_seconds"] = 2.0
  (copy / manifests.FILENAME).write_text(json.dumps(record))
  for path in copy.glob("*.array_record*"):
    path.unlink()
  # As if the network folder went away between opening and reading.
  again = open_corpus(copy, sample_rate=16000, clip_seconds=2.0)
  with pytest.raises(AudioError, match=r"copy: record .* cannot be read"):
    again.audio[1]
  with pytest.raises(ValueError, match="axis 0"):
    corpus.audio.take([0], axis=1)


def test_a_plan_needs_a_file_that_can_be_used(tmp_path):
  source = planning.Source(
    track="x", path="x.wav", title="", author="", licence="", work="w",
    performer="p", stratum="s",
  )  # fmt: skip
  with pytest.raises(AudioError, match="none of 1 files can be used"):
    planning.make_plan(tmp_path, [source], [])
  assert dataclasses.asdict(source)["track"] == "x"


@pytest.mark.parametrize(
  ("name", "builder"), [("maestro", MaestroV3), ("fma", Fma)], ids=["maestro", "fma"]
)
def test_the_papers_configuration_names_what_is_built(name, builder, tmp_path):
  made = builder(config=builder.BUILDER_CONFIGS[0], data_dir=tmp_path / "data")
  config = paper_diffwave.get_config(name)
  assert tmp_path / config.corpus.path == made.data_path
  assert config.corpus.clip_seconds == made.builder_config.segment_seconds


def test_records_stand_for_both_channels(piano):
  wanted = {"sample_rate": 16000, "clips_per_track": 2}
  for seconds in (2.0, 0.5):
    mono = open_corpus(piano, clip_seconds=seconds, **wanted)
    both = open_corpus(piano, clip_seconds=seconds, channels=2, **wanted)
    assert (both.channels, both.audio.ndim) == (2, 3)
    assert both.audio.shape == (len(mono), 2, round(16000 * seconds))
    expected = np.repeat(mono.audio[:3][:, None], 2, axis=1)
    np.testing.assert_array_equal(both.audio[:3], expected)
    np.testing.assert_array_equal(both.audio[1], expected[1])
    np.testing.assert_array_equal(
      both.head(0.25).audio.take([2])[:], expected[2:3, :, :4000]
    )
    for clip, samples in zip(both.clips[:3], expected, strict=True):
      assert hashlib.sha256(samples.tobytes()).hexdigest() == clip.sha256
    assert both.errors[-1][1].endswith("one channel, which stands for both")
