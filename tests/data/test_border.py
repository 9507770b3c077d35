"""One bad input is one named line, and nothing that was given goes without a word."""

import dataclasses
import json
import os
import pathlib
import shutil
import socket
import tempfile

import numpy as np
import pytest
import soundfile

from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.data import decoding, folder, inspection
from lsaprobe_jax.data import manifest as manifests
from lsaprobe_jax.data.audio import AudioError
from lsaprobe_jax.data.border import border
from lsaprobe_jax.errors import ArgumentError, LsaProbeError

RATE = 16000


def noise(seed, seconds=2.0):
  rng = np.random.default_rng(seed)
  return (0.05 * rng.normal(size=round(seconds * RATE))).astype(np.float32)


def write(path, seed=0, seconds=2.0):
  path.parent.mkdir(parents=True, exist_ok=True)
  soundfile.write(tempfile.gettempdir() + "/border.wav", noise(seed, seconds), RATE)
  shutil.move(tempfile.gettempdir() + "/border.wav", path)
  return path


def opened(path, **settings):
  return corpora.open_corpus(
    path, **{"sample_rate": RATE, "clip_seconds": 1.0, **settings}
  )


@pytest.fixture
def good(tmp_path):
  """A folder with one good file."""
  write(tmp_path / "music" / "good.wav")
  return tmp_path / "music"


def test_what_a_folder_holds_beside_is_counted_and_named(good, tmp_path):
  write(tmp_path / "elsewhere" / "other.wav")
  (good / "linked").symlink_to(tmp_path / "elsewhere")
  (good / "circle").symlink_to(good)
  (good / "linked.wav").symlink_to(tmp_path / "elsewhere" / "other.wav")
  (good / "lost.wav").symlink_to(tmp_path / "nowhere.wav")
  (good / "self.wav").symlink_to(good / "self.wav")
  os.mkfifo(good / "pipe.wav")
  write(good / ".hidden.wav")
  write(good / ".Trash" / "deleted.wav")
  write(good / "long.wave")
  for name in ("film.mp4", "album.wv", "cover.jpg", "a.txt", "b.txt", "c.cue", ".DS"):
    (good / name).write_bytes(b"x")
  corpus = opened(good)
  assert corpus.tracks == ("good", "linked", "long")
  reasons = dict(corpus.errors)
  for name, reason in {
    "linked": "a link to a folder; links to folders are not followed",
    "circle": "a link to a folder; links to folders are not followed",
    "lost.wav": "a link to nothing",
    "self.wav": "a link to nothing",
    "pipe.wav": "no plain file",
    "film.mp4": "MP4 is not read; convert it to flac or wav",
    "album.wv": "WavPack is not read; convert it to flac or wav",
  }.items():
    assert reasons.pop(f"{good / name}") == f"{good / name}: {reason}"
  assert [line for _, line in corpus.errors[-2:]] == [
    f"{good}: 2 hidden by a leading dot, not read: .Trash, .hidden.wav",
    f"{good}: 4 no audio by their suffix, not read: a.txt, b.txt, c.cue, ...",
  ]
  assert len(corpus.errors) == 9
  assert corpora.recordings(good).keys() == set(corpus.tracks)


def test_folders_that_may_not_be_read_are_named(good, monkeypatch):
  closed = good / "closed"
  write(closed / "x.wav")
  scan = os.scandir

  # The tests may run as root, whom no mode keeps out.
  def guarded(path):
    if pathlib.Path(path) == closed:
      raise PermissionError(13, "Permission denied")
    return scan(path)

  monkeypatch.setattr(folder.os, "scandir", guarded)
  corpus = opened(good)
  line = f"{closed}: a folder that cannot be listed (Permission denied)"
  assert (str(closed), line) in corpus.errors
  line = r"closed: cannot be read \(Permission denied\); let this account read it"
  with pytest.raises(AudioError, match=line):
    opened(closed)


def test_a_folder_that_can_be_listed_but_not_entered_is_named():
  with tempfile.TemporaryDirectory() as name:
    closed = write(pathlib.Path(name) / "closed" / "x.wav").parent
    write(pathlib.Path(name) / "open.wav")
    closed.chmod(0o444)
    pathlib.Path(name).chmod(0o755)
    user = os.geteuid()
    try:
      if user == 0:  # whom no mode keeps out
        os.seteuid(65534)
      corpus = opened(name)
    finally:
      os.seteuid(user)
      closed.chmod(0o755)
    assert corpus.tracks == ("open",)
    assert [line for _, line in corpus.errors] == [
      f"{closed}/x.wav: cannot be looked at (Permission denied)"
    ]


def test_a_folder_of_nothing_that_is_read_says_what_it_holds(tmp_path):
  (tmp_path / "film.mp4").write_bytes(b"x")
  with pytest.raises(
    AudioError, match=r"no audio files in it; .*film\.mp4: MP4 is not"
  ):
    opened(tmp_path)


def test_names_that_are_no_text_do_not_stop_a_folder(good):
  names = (b"caf\xe9.wav", b"line\nbreak.wav", b"esc\x1b[31m.wav", "‮txt.wav".encode())
  for seed, name in enumerate(names, 1):
    write(good / "new.wav", seed).rename(os.fsdecode(os.fsencode(good) + b"/" + name))
  bad = pathlib.Path(os.fsdecode(os.fsencode(good) + b"/bad\xe9.wav"))
  bad.write_bytes(b"junk")
  corpus = opened(good)
  assert len(corpus.tracks) == 5
  ((source, message),) = corpus.errors
  assert source == f"{good}/bad\\udce9.wav"
  assert message.startswith(source)
  texts = [text for clip in corpus.clips for text in (clip.title, clip.source, clip.id)]
  assert all(text.isprintable() and text.encode() for text in (*texts, message))
  assert "caf\\udce9" in texts
  assert len(corpus.fingerprint()) == 64
  for read in corpora.recordings(good).values():
    if "bad" not in str(read.args):
      inspection.inspect("x", read()).source.encode()


def test_files_that_vanish_after_listing_are_named(good, monkeypatch):
  write(good / "gone.wav", 3)
  listing = folder.listing

  def late(path):
    found = listing(path)
    (good / "gone.wav").unlink()
    return found

  monkeypatch.setattr(folder, "listing", late)
  corpus = opened(good)
  assert corpus.tracks == ("good",)
  assert corpus.errors == (
    (f"{good}/gone.wav", f"{good}/gone.wav: no such file; check the path"),
  )


@pytest.mark.parametrize("error", [MemoryError(), ValueError("odd"), OSError(5, "I/O")])
def test_whatever_one_file_raises_the_others_go_on(good, monkeypatch, error):
  write(good / "bad.wav", 2)
  real = decoding.Reading.blocks

  def failing(reading):
    if reading.name.endswith("bad.wav"):
      raise error
    return real(reading)

  monkeypatch.setattr(decoding.Reading, "blocks", failing)
  corpus = opened(good)
  assert corpus.tracks == ("good",)
  ((source, message),) = corpus.errors
  assert message.startswith(f"{good}/bad.wav: ")
  assert source == f"{good}/bad.wav"


def test_the_error_of_audio_is_one_of_the_library():
  assert issubclass(AudioError, LsaProbeError)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_interrupts_pass_the_border(stop):
  with pytest.raises(stop), border("x"):
    raise stop


def test_a_socket_given_as_a_folder_is_refused(tmp_path):
  with socket.socket(socket.AF_UNIX) as one:
    one.bind(str(tmp_path / "s.wav"))
    with pytest.raises(AudioError, match=r"s\.wav"):
      opened(tmp_path / "s.wav")


@pytest.mark.parametrize("name", ["nul\0", "x" * 5000, "~nobody-of-that-name/x"])
def test_paths_that_cannot_be_are_refused_by_name(name):
  with pytest.raises(AudioError) as caught:
    opened(name)
  assert str(caught.value).isprintable()


def test_remarks_of_a_file_are_in_the_corpus_and_in_its_facts(good):
  path = good / "cut.wav"
  shutil.copy(good / "good.wav", path)
  path.write_bytes(path.read_bytes()[:-RATE])
  corpus = opened(good)
  line = f"{path}: cut short: the header says 2.0 s, 1.5 s are there; what is there is"
  assert [message for _, message in corpus.errors] == [f"{line} used"]
  assert corpus.tracks == ("cut", "good")
  facts = inspection.inspect("cut", corpora.recordings(good)["cut"]())
  assert facts.remarks == (f"{line} used",)
  assert "remarks" not in facts.plain()


@pytest.fixture
def built(tmp_path):
  """A copy of the shipped piano corpus with three tracks, and its manifest as JSON."""
  _, path = corpora._find("piano")
  record = json.loads((path / manifests.FILENAME).read_text(encoding="utf-8"))
  record["tracks"] = record["tracks"][:3]
  for track in record["tracks"]:
    shutil.copy(path / track["file"], tmp_path)
  return tmp_path, record


def _write(folder, record):
  text = json.dumps(record)
  (folder / manifests.FILENAME).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
  ("name", "reason"),
  [
    ("nul\0.ogg", "embedded null"),
    ("x" * 5000, "too long"),
    ("circle.ogg", "ymlink loop|symbolic links"),
    ("../../x.ogg", "outside the corpus folder"),
    ("lone\ud800.ogg", "no such file"),
    ("pipe.ogg", "no plain file"),
  ],
)
def test_one_bad_entry_of_a_manifest_is_one_line(built, name, reason):
  path, record = built
  (path / "circle.ogg").symlink_to(path / "circle.ogg")
  os.mkfifo(path / "pipe.ogg")
  record["tracks"][1]["file"] = name
  _write(path, record)
  corpus = opened(path)
  assert len(corpus.tracks) == 2
  ((source, message),) = corpus.errors
  assert message.isprintable()
  assert source.encode()
  with pytest.raises(AudioError, match=reason):
    raise AudioError(message)
  readers = corpora.recordings(path)
  with pytest.raises(AudioError, match=reason):
    readers[record["tracks"][1]["id"]]()
  for track in corpus.tracks:
    assert readers[track]().frames


@pytest.mark.parametrize("field", ["title", "author", "licence", "id"])
def test_surrogates_in_a_manifest_become_text_that_can_be_written(built, field):
  path, record = built
  record["tracks"][0][field] = "Caf\udce9 \ud83d"
  _write(path, record)
  corpus = opened(path)
  clip = next(clip for clip in corpus.clips if "dce9" in str(clip))
  assert "Caf\\udce9 \\ud83d" in dataclasses.astuple(clip)[:7] or field == "id"
  for text in dataclasses.astuple(clip)[:7]:
    text.encode()
  assert len(corpus.fingerprint()) == 64


def _nested(depth):
  return "[" * depth + "]" * depth


@pytest.mark.parametrize(
  ("change", "reason"),
  [
    (lambda r: r.update(segment_seconds=10**400), "segment_seconds a huge number"),
    (lambda r: r.update(segment_seconds=float("nan")), "segment_seconds nan"),
    (lambda r: r.update(segment_seconds="4"), "segment_seconds '4'"),
    (lambda r: r.update(sample_rate=16000.0), "sample_rate"),
    (lambda r: r.update(tracks=5), "tracks is no list"),
    (lambda r: r.update(tracks=[5]), "track 0"),
    (lambda r: r.update(version=[1]), "version"),
    (lambda r: r.update(corpus=7), "corpus 7"),
    (lambda r: r.update(recipe={"left_out": 5}), "damaged"),
    (lambda r: r["tracks"][0].update(title=None), "track '.*'"),
    (lambda r: r["tracks"][0].update(group={}), "track '.*'"),
    (lambda r: r["tracks"][0].update(id=["x"]), "track"),
    (lambda r: r["tracks"][0].update(segments=None), "track 0"),
    (lambda r: r["tracks"][0].update(segments=[]), "no segment"),
    (lambda r: r["tracks"][1]["segments"][0].update(seconds=1e999), "a time outside"),
    (lambda r: r["tracks"][1]["segments"][0].update(start_seconds=[]), "a time out"),
    (lambda r: r["tracks"][1]["segments"][0].update(sha256=5), "sha256 is no text"),
  ],
)
def test_manifests_of_wrong_types_are_one_line(built, change, reason):
  path, record = built
  change(record)
  _write(path, record)
  with pytest.raises(AudioError, match=reason) as caught:
    opened(path)
  message = str(caught.value)
  assert message.startswith(f"{path / manifests.FILENAME}: damaged (")
  assert message.isprintable()
  assert len(message) < 500


@pytest.mark.parametrize(
  "text",
  [_nested(200_000), "5", "null", '{"version": 1}', "\ufeff{}", "NaN", "9" * 9000],
)
def test_manifests_that_are_no_manifests_are_one_line(built, text):
  path, _ = built
  (path / manifests.FILENAME).write_text(text, encoding="utf-8")
  with pytest.raises(AudioError, match=r"manifest\.json: damaged") as caught:
    opened(path)
  assert str(caught.value).isprintable()
  (path / manifests.FILENAME).write_bytes(b"\xff\xfe{}")
  with pytest.raises(AudioError, match=r"manifest\.json: damaged"):
    opened(path)


BAD_NUMBERS = (10**400, float("inf"), float("nan"), -1, 0, "4", None, [], 1e308)


@pytest.mark.parametrize("name", ["sample_rate", "clip_seconds", "clips_per_track"])
@pytest.mark.parametrize("value", BAD_NUMBERS, ids=lambda value: str(value)[:5])
def test_settings_that_are_no_numbers_are_one_line(name, value):
  if name == "clips_per_track" and value is None:
    return  # takes all
  with pytest.raises(ArgumentError, match=f"^{name}=") as caught:
    opened("piano", **{name: value})
  assert len(str(caught.value)) < 200
