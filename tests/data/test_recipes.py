"""Recipes, from packages that are made up on the spot: no network, no tools."""

import collections
import dataclasses
import io
import tarfile
import types
import zipfile

import numpy as np
import pytest
import soundfile
from made_up import track

from lsaprobe_jax import optional
from lsaprobe_jax.data import manifest, splits
from lsaprobe_jax.data.audio import AudioError
from lsaprobe_jax.data.build import (
  chorales,
  corpora,
  credits,
  fetch,
  midi,
  recipes,
  sources,
)
from lsaprobe_jax.data.corpus import open_corpus
from lsaprobe_jax.data.description import describe
from lsaprobe_jax.errors import ArgumentError

RATE = 44100


@pytest.fixture
def package(tmp_path, monkeypatch):
  """Four tracks of 12 s as if unpacked from a Debian package."""
  folder = tmp_path / "package"
  (folder / "music").mkdir(parents=True)
  for number in range(4):
    samples = 0.1 * np.random.default_rng(number).normal(size=12 * RATE)
    soundfile.write(folder / "music" / f"{number}.flac", samples, RATE)
  monkeypatch.setattr(fetch, "debian", lambda package, downloads: (folder, "1.0"))
  listed = [track(number, "aabb"[number]) for number in range(4)]
  monkeypatch.setattr(sources, "multigenre", lambda *, extended: tuple(listed))
  return listed


def test_a_score_that_cannot_be_played_is_left_out(tmp_path, package, monkeypatch):
  class BadRepeats(Exception):
    pass

  def parse(path, forceSource):
    raise BadRepeats("badly formed repeats")

  music21 = types.SimpleNamespace(
    __file__=str(tmp_path / "music21" / "__init__.py"),
    exceptions21=types.SimpleNamespace(Music21Exception=BadRepeats),
    converter=types.SimpleNamespace(parse=parse),
  )
  monkeypatch.setattr(optional, "require", lambda name, extra: music21)
  score = dataclasses.replace(package[0], package="music21", path="bach/bwv277.krn")
  listed = (score, *package[1:])
  monkeypatch.setattr(sources, "multigenre", lambda *, extended: listed)
  _, built, errors = _build(tmp_path, "one")
  assert [track.id for track in built.tracks] == ["track-1", "track-2", "track-3"]
  (error,) = errors
  assert error.endswith(
    "bach/bwv277.krn: cannot be read (BadRepeats: badly formed repeats); leave it out"
  )


def _build(tmp_path, name, **settings):
  recipe = recipes.Recipe(corpus="multigenre", **settings)
  built, errors = recipes.build(recipe, tmp_path / name, tmp_path / "downloads")
  return tmp_path / name, built, errors


def test_build_is_deterministic_and_opens(tmp_path, package):
  one, built, errors = _build(tmp_path, "one")
  two, _, _ = _build(tmp_path, "two")
  names = sorted(path.name for path in one.iterdir())
  assert names == sorted(path.name for path in two.iterdir())
  assert all((one / n).read_bytes() == (two / n).read_bytes() for n in names)
  assert not errors
  assert manifest.read(one) == built
  corpus = open_corpus(one, sample_rate=16000, clip_seconds=2.0)
  assert collections.Counter(clip.group for clip in corpus.clips) == {"a": 8, "b": 8}


def test_group_changes_no_bit_of_what_is_built(tmp_path, package):
  _, before, _ = _build(tmp_path, "one")
  package[:] = [track(number, "bbaa"[number]) for number in range(4)]
  _, after, _ = _build(tmp_path, "two")
  for was, now in zip(before.tracks, after.tracks, strict=True):
    assert was.group != now.group
    assert (was.sha256, was.segments) == (now.sha256, now.segments)


def test_shipped_takes_only_what_may_be_shipped(tmp_path, package):
  _, built, _ = _build(tmp_path, "one", shipped=True)
  assert [track.id for track in built.tracks] == ["track-1", "track-2", "track-3"]
  with pytest.raises(ArgumentError, match=r"^shipped=True"):
    recipes.Recipe(corpus="piano", shipped=True, chorales=True)
  with pytest.raises(ArgumentError, match=r"^corpus='opera': one of"):
    recipes.shipped("opera")


def test_a_corpus_is_built_by_its_name_and_described(tmp_path, package):
  (tmp_path / "package" / "music" / "2.flac").write_bytes(b"junk" * 50)
  built = corpora.build_corpus(
    "multigenre", tmp_path / "one", downloads=tmp_path, segment_seconds=2.0
  )
  assert built.folder == tmp_path / "one"
  assert (len(built.corpus), built.corpus.clip_seconds) == (6, 2.0)
  (left_out,) = built.left_out
  assert left_out.startswith("made-up/music/2.flac: cannot be decoded")
  lines = describe(built.corpus).splitlines()
  assert lines[0].startswith("one: 6 clips of 2 s at 16000 Hz, fingerprint ")
  assert lines[1].split() == ["group", "tracks", "clips", "hours"]
  assert lines[2].split() == ["a", "2", "4", "0.0022"]
  assert lines[-1] == "errors and remarks: 0"


def test_settings_that_do_not_go_with_a_corpus_are_refused(tmp_path):
  with pytest.raises(ArgumentError, match=r"^corpus='opera': one of"):
    corpora.build_corpus("opera", tmp_path)
  with pytest.raises(ArgumentError, match=r"^corpus=maestro_v3: goes with none of"):
    corpora.build_corpus("maestro_v3", tmp_path, shipped=True)


def test_bad_track_is_named_and_left_out(tmp_path, package):
  bad = tmp_path / "package" / "music" / "2.flac"
  bad.write_bytes(b"junk" * 50)
  folder, built, errors = _build(tmp_path, "one")
  assert len(built.tracks) == 3
  assert errors[0].startswith("made-up/music/2.flac: cannot be decoded")
  assert not (folder / "track-2.ogg").exists()
  with pytest.raises(AudioError, match="no track could be used"):
    _build(tmp_path, "two", segment_seconds=60.0)


def test_credits_escape_untrusted_text(tmp_path, package):
  folder, _, _ = _build(tmp_path, "one")
  row = (folder / credits.FILENAME).read_text().splitlines()[-1]
  assert r"a \| title \<script\>" in row
  assert r"\[me\](x)" in row
  assert row.replace(r"\|", "").count("|") == 7


def test_listed_groups_share_no_music():
  for listed in (
    sources.multigenre(),
    sources.multigenre(extended=True),
    sources.piano(),
  ):
    group_of = {}
    for source in listed:
      assert group_of.setdefault(source.duplicates, source.group) == source.group
    assert len({source.track for source in listed}) == len(listed)
    assert {source.group for source in listed} == set(manifest.GROUPS)


def test_counts_of_the_lists():
  assert len(sources.multigenre()) == 162
  assert len(sources.multigenre(extended=True)) == 259
  assert len(sources.piano()) == 18
  assert all(sources.shippable(source.licence) for source in sources.piano())
  groups = {source.track: source.group for source in sources.multigenre()}
  extended = {s.track: s.group for s in sources.multigenre(extended=True)}
  assert groups == {track: extended[track] for track in groups}


def test_extra_shares_no_music_with_the_core():
  core, listed = sources.multigenre(), sources.extra()
  assert {source.package for source in listed} == {
    "0ad-data",
    "flare-game",
    "fretsonfire-songs-muldjord",
    "fretsonfire-songs-sectoid",
    "hyperrogue-music",
  }
  for name in ("package", "duplicates", "track"):
    in_core = {getattr(source, name) for source in core}
    assert in_core.isdisjoint(getattr(source, name) for source in listed)
  count = collections.Counter(source.group for source in listed)
  assert count == {"a": 39, "b": 38, "dev": 13, "reference": 7}
  extended = {s.track: s for s in sources.multigenre(extended=True)}
  assert all(extended[source.track] == source for source in listed)


def test_extra_leaves_out_versions_of_music_of_the_core(monkeypatch):
  core = track(0, "a")
  version, other = (
    dataclasses.replace(track(number, "a"), package="outside") for number in (1, 2)
  )
  version = dataclasses.replace(version, duplicates=core.duplicates)
  # A package that is in the core set is so with all that is listed of it.
  rest_of_core = track(3, "b")
  monkeypatch.setattr(
    sources,
    "multigenre",
    lambda *, extended=False: (
      (core, version, other, rest_of_core) if extended else (core,)
    ),
  )
  assert sources.extra() == (other,)


def test_extra_is_built_from_its_own_list(tmp_path, package, monkeypatch):
  monkeypatch.setattr(sources, "extra", lambda: tuple(package[2:]))
  built = corpora.build_corpus("extra", tmp_path / "one", downloads=tmp_path)
  assert {clip.track for clip in built.corpus.clips} == {"track-2", "track-3"}
  found = manifest.read(built.folder)
  assert (found.corpus, found.recipe["corpus"]) == ("extra", "extra")


@pytest.mark.parametrize(
  ("corpus", "kind"),
  [(c, k) for c in ("extra", "dose", "dose-piano") for k in ("extended", "chorales")]
  + [("extra", "shipped"), ("dose-piano", "shipped")],
)
def test_some_corpora_go_with_no_other_kind(tmp_path, corpus, kind):
  message = rf"^corpus={corpus}: goes with none of "
  with pytest.raises(ArgumentError, match=message):
    corpora.build_corpus(corpus, tmp_path, **{kind: True})


def test_reference_is_two_in_five_of_each_package():
  development = collections.Counter()
  reference = collections.Counter()
  for source in sources.multigenre():
    if sources.shippable(source.licence):
      development[source.package] += source.group in ("dev", "reference")
      reference[source.package] += source.group == "reference"
  assert sum(development.values()) == 17
  assert sum(reference.values()) == 7
  for package, count in development.items():
    assert abs(reference[package] - 0.4 * count) < 1


def test_reference_keeps_duplicates_together():
  rows = [
    {"package": "p", "group": f"d{i // 2}", "split": "calib", "licence": "CC-BY-3.0"}
    for i in range(20)
  ]
  groups = sources.assign_reference(rows)
  assert sorted(groups.values()) == ["dev"] * 6 + ["reference"] * 4
  rows.append({**rows[0], "split": "member"})
  with pytest.raises(ValueError, match="two splits"):
    sources.assign_reference(rows)


def test_hashed_groups_have_their_shares():
  count = collections.Counter(splits.hashed_group(f"song {i}") for i in range(2000))
  for group, share in (("a", 0.4), ("b", 0.4), ("dev", 0.12), ("reference", 0.08)):
    assert abs(count[group] / 2000 - share) < 0.04


@pytest.mark.parametrize(
  "member", ["../evil.ogg", "/evil.ogg", "x/../../evil.ogg", "..\\evil.ogg", ""]
)
def test_zip_traversal_is_refused(tmp_path, member):
  archive = tmp_path / "x.pk3"
  with zipfile.ZipFile(archive, "w") as file:
    file.writestr(member or "x", b"evil")
  with pytest.raises(fetch.FetchError, match="refused"):
    fetch.unzip_member(archive, member, tmp_path / "inside")
  assert not list(tmp_path.rglob("evil*"))


def test_archive_inside_a_package(tmp_path):
  with zipfile.ZipFile(tmp_path / "data.pk3", "w") as file:
    file.writestr("music/x.ogg", b"sound")
  assert fetch.debian_file(tmp_path, "pk3/music/x.ogg").read_bytes() == b"sound"
  assert fetch.debian_file(tmp_path, "usr/x.ogg") == tmp_path / "usr/x.ogg"
  with pytest.raises(fetch.FetchError, match=r"in no \.pk3"):
    fetch.debian_file(tmp_path, "pk3/music/y.ogg")


def test_tar_traversal_is_refused(tmp_path):
  with tarfile.open(tmp_path / "p-1.tgz", "w:gz") as file:
    info = tarfile.TarInfo("../../evil.mid")
    info.size = 4
    file.addfile(info, io.BytesIO(b"evil"))
  with pytest.raises(fetch.FetchError, match=r"p-1\.tgz"):
    fetch.npm("p", "1", tmp_path)
  assert not list(tmp_path.rglob("evil*"))


def test_missing_and_failing_tools_say_the_mend():
  with pytest.raises(fetch.FetchError, match="no-such-tool is not installed; get it"):
    fetch.call(["no-such-tool"], mend="get it")
  with pytest.raises(fetch.FetchError, match=r"failed.*; mend it"):
    fetch.call(["ls", "/no/such/folder"], mend="mend it")


def test_missing_soundfont_is_an_error(tmp_path):
  with pytest.raises(fetch.FetchError, match="no such soundfont"):
    midi.render(tmp_path / "x.mid", tmp_path / "x.wav", tmp_path / "font.sf2")


def test_instruments_are_stripped_and_time_is_kept(tmp_path):
  mido = pytest.importorskip("mido")
  song = mido.MidiFile()
  song.tracks.append(
    mido.MidiTrack(
      [
        mido.Message("program_change", program=3, time=10),
        mido.Message("control_change", control=0, value=1, time=5),
        mido.Message("note_on", note=60, time=7),
        mido.Message("control_change", control=64, value=127, time=1),
        mido.Message("note_off", note=60, time=100),
      ]
    )
  )
  song.save(tmp_path / "in.mid")
  midi.piano_only(tmp_path / "in.mid", tmp_path / "out.mid")
  messages = [m for m in mido.MidiFile(tmp_path / "out.mid").tracks[0] if not m.is_meta]
  assert [(m.type, m.time) for m in messages] == [
    ("note_on", 22),
    ("control_change", 1),
    ("note_off", 100),
  ]


def test_chorales_of_one_tune_are_one_cluster():
  tune = [60, 62, 64, 65, 67, 65, 64, 62, 60, 67, 69, 71, 72]
  higher = [pitch + 5 for pitch in tune]
  other = [72, 60, 71, 61, 70, 62, 69, 63, 68, 64, 67, 65]
  assert chorales.clusters([other, tune, higher, [], other[:9]]) == [0, 1, 1, 3, 0]
