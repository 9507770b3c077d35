"""No sample comes from anywhere but the file; what a file lacks is said."""

import hashlib
import json
import struct
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from lsaprobe_jax.data import audio, decoding, folder, mpeg, sequential
from lsaprobe_jax.data import corpus as corpora

RATE = 44100
SECONDS = 4.0
# Suffix -> container, coding, rate: all that `folder.SUFFIXES` lists and libsndfile
# writes, and codings whose length is no plain count of bytes.
FORMATS = {
  "wav": ("WAV", "PCM_16", RATE),
  "wave": ("WAV", "FLOAT", RATE),
  "bwf": ("WAVEX", "PCM_24", RATE),
  "rf64": ("RF64", "PCM_16", RATE),
  "w64": ("W64", "PCM_16", RATE),
  "flac": ("FLAC", "PCM_16", RATE),
  "ogg": ("OGG", "VORBIS", RATE),
  "oga": ("OGG", "VORBIS", 22050),
  "opus": ("OGG", "OPUS", 48000),
  "mp3": ("MP3", "MPEG_LAYER_III", RATE),
  "aif": ("AIFF", "PCM_16", RATE),
  "aiff": ("AIFF", "FLOAT", RATE),
  "aifc": ("AIFF", "ULAW", RATE),
  "au": ("AU", "PCM_16", RATE),
  "snd": ("AU", "FLOAT", RATE),
  "caf": ("CAF", "PCM_16", RATE),
  "adpcm.wav": ("WAV", "IMA_ADPCM", RATE),
  "gsm.wav": ("WAV", "GSM610", 8000),
  "alac.caf": ("CAF", "ALAC_16", RATE),
  "ima.aifc": ("AIFF", "IMA_ADPCM", RATE),
  "g721.au": ("AU", "G721_32", 8000),
  "g723.au": ("AU", "G723_40", 8000),
}
# What libsndfile cannot write, or not read.
NOT_WRITTEN = {".mp2", ".m4a", ".aac", ".wma"}
CUTS = (0.25, 0.5, 0.6, 0.9)
DIGESTS = """
import hashlib, json, sys
from lsaprobe_jax.data import audio
found = {}
for path in sys.argv[1:]:
  try:
    found[path] = hashlib.sha256(audio.decode(path)[0].tobytes()).hexdigest()
  except audio.AudioError as error:
    found[path] = str(error)
print(json.dumps(found))
"""


def music(seed=0, seconds=SECONDS, rate=RATE):
  """A chord that changes and some noise; its first half is not its second."""
  rng = np.random.default_rng(seed)
  time = np.arange(round(seconds * rate)) / rate
  tones = [np.sin(2 * np.pi * hz * time * (1 + 0.05 * time)) for hz in (220, 331, 554)]
  return (0.1 * sum(tones) + 0.02 * rng.normal(size=len(time))).astype(np.float32)


def write(path, samples, rate=RATE, container=None, coding=None):
  soundfile.write(path, samples, rate, format=container, subtype=coding)
  return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
  """Path by (format, share of it that is there)."""
  root = tmp_path_factory.mktemp("formats")
  made = {}
  for name, (container, coding, rate) in FORMATS.items():
    path = write(root / f"whole.{name}", music(rate=rate), rate, container, coding)
    made[name, 1.0] = path
    for cut in CUTS:
      short = root / f"cut{round(100 * cut)}.{name}"
      short.write_bytes(path.read_bytes()[: round(cut * path.stat().st_size)])
      made[name, cut] = short
  return made


def digests(paths):
  found = {}
  for path in map(str, paths):
    try:
      found[path] = hashlib.sha256(audio.decode(path)[0].tobytes()).hexdigest()
    except audio.AudioError as error:
      found[path] = str(error)
  return found


def test_every_suffix_that_is_read_is_tested():
  tested = {"." + name.rsplit(".", 1)[-1] for name in FORMATS}
  assert tested | NOT_WRITTEN == folder.SUFFIXES


def test_samples_are_the_same_after_any_file_and_in_any_process(files):
  paths = list(files.values())
  first = digests(paths)
  backwards = digests(reversed(paths))
  after_another = {}
  for path in paths:
    audio.decode(files["mp3", 1.0])
    after_another |= digests([path])
  assert first == backwards == after_another
  command = [sys.executable, "-c", DIGESTS, *map(str, paths)]
  fresh = subprocess.run(command, capture_output=True, text=True, check=True)
  assert first == json.loads(fresh.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_cut_is_the_beginning_of_the_whole_and_said(files, name):
  whole, found = decoding.decode(files[name, 1.0])
  rate = FORMATS[name][2]
  assert not found.remarks
  # ADPCM ends with a whole block.
  assert len(whole) == pytest.approx(SECONDS * rate, abs=0.1 * rate)
  for cut in CUTS:
    path = files[name, cut]
    short, found = decoding.decode(path)
    # A page of Ogg, and a frame of FLAC, is there or not.
    assert (cut - 0.3) * len(whole) < len(short) < (cut + 0.15) * len(whole)
    # The last block of a codec may want what was cut off.
    same = len(short) - 2304 * ("mp3" in name) - 4096 * ("gg" in name or "opus" in name)
    np.testing.assert_array_equal(short[:same], whole[:same])
    (remark,) = found.remarks
    assert remark.startswith(f"{path}: cut short: ")
    assert f"{len(short) / rate:.1f} s are there" in remark
    if name not in ("ogg", "oga", "opus"):  # whose headers say nothing of it
      claimed = float(remark.split("the header says ")[1].split(" s")[0])
      # By the share of bytes, which ALAC does not use evenly.
      assert claimed == pytest.approx(SECONDS, abs=0.4 if "alac" in name else 0.11)


def test_nothing_of_the_read_buffer_is_ever_in_the_result(files, monkeypatch):
  sentinel = 0.123456789
  real = np.empty

  def filled(shape, dtype=float, *args, **settings):
    array = real(shape, dtype, *args, **settings)
    if array.dtype.kind == "f":
      array.fill(sentinel)
    return array

  before = {path: decoding.decode(path)[0] for path in files.values()}
  monkeypatch.setattr(np, "empty", filled)
  assert np.empty(3)[0] == sentinel
  for path, samples in before.items():
    now = decoding.decode(path)[0]
    assert not np.any(now == np.float32(sentinel))
    np.testing.assert_array_equal(now, samples)


@pytest.mark.parametrize("name", FORMATS)
def test_long_files_do_not_depend_on_the_size_of_a_block(files, name, monkeypatch):
  path = files[name, 1.0]
  at_once, _ = soundfile.read(path, dtype="float32")
  for size in (1 << 20, 20_000):
    monkeypatch.setattr(sequential, "BLOCK_SAMPLES", size)
    np.testing.assert_array_equal(decoding.decode(path)[0], at_once)


@pytest.mark.parametrize("name", corpora.SHIPPED)
def test_shipped_files_are_decoded_as_by_soundfile_at_once(name):
  _, path = corpora._find(name)
  files = sorted(path.glob("*.ogg"))
  assert len(files) > 10
  for file in files:
    at_once, _ = soundfile.read(file, dtype="float32")
    np.testing.assert_array_equal(audio.decode(file)[0], at_once)
    assert decoding.survey(file).remarks == ()


def test_two_mp3s_in_one_file_are_both_read(tmp_path):
  parts = [write(tmp_path / f"{i}.mp3", music(i, 3 + i)) for i in range(2)]
  both = tmp_path / "both.mp3"
  both.write_bytes(b"".join(path.read_bytes() for path in parts))
  samples, found = decoding.decode(both)
  expected = [decoding.decode(path)[0] for path in parts]
  np.testing.assert_array_equal(samples, np.concatenate(expected))
  assert found.remarks == (f"{both}: 2 streams in one file, read one after the other",)
  # The first of them cut: what is missing is said of it, and the second is whole.
  data = parts[0].read_bytes()
  both.write_bytes(data[: len(data) // 2] + parts[1].read_bytes())
  samples, found = decoding.decode(both)
  assert len(samples) == pytest.approx(RATE * (1.5 + 4), abs=0.3 * RATE)
  np.testing.assert_array_equal(samples[-len(expected[1]) :], expected[1])
  assert any("cut short: the header says 3.0 s" in line for line in found.remarks)


def test_an_mp3_without_a_xing_header_is_read_whole(tmp_path):
  """Its length is guessed by the bit rate of its beginning, which is not the rest's."""
  path = tmp_path / "vbr.mp3"
  quiet = 0.3 * np.sin(2 * np.pi * 440 * np.arange(5 * RATE) / RATE)
  samples = np.concatenate(
    [0.3 * np.random.default_rng(0).normal(size=5 * RATE), quiet]
  )
  with soundfile.SoundFile(
    path, "w", RATE, 1, format="MP3", bitrate_mode="VARIABLE", compression_level=0.5
  ) as file:
    file.write(samples.astype(np.float32))
  whole = decoding.decode(path)[0]
  data = path.read_bytes()
  bare = tmp_path / "bare.mp3"
  bare.write_bytes(data[mpeg._parse(data[:4]).length :])
  assert len(soundfile.read(bare)[0]) < 0.9 * len(whole)
  found = decoding.decode(bare)[0]
  # Without the header nothing says how much delay to cut: less than two frames.
  delay = len(found) - len(whole)
  assert 0 <= delay < 2304
  middle = found[RATE : 8 * RATE]
  lag = np.argmax([np.dot(middle, whole[RATE - k : 8 * RATE - k]) for k in range(2304)])
  np.testing.assert_allclose(middle, whole[RATE - lag : 8 * RATE - lag], atol=1e-3)


@pytest.mark.parametrize("suffix", ["ogg", "opus"])
def test_two_oggs_in_one_file_are_both_read(tmp_path, suffix):
  container, coding, rate = FORMATS[suffix]
  parts = [
    write(tmp_path / f"{i}.{suffix}", music(i, rate=rate), rate, container, coding)
    for i in range(2)
  ]
  both = tmp_path / f"both.{suffix}"
  both.write_bytes(b"".join(path.read_bytes() for path in parts))
  samples, found = decoding.decode(both)
  np.testing.assert_array_equal(
    samples, np.concatenate([decoding.decode(path)[0] for path in parts])
  )
  assert "2 streams" in found.remarks[0]


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_that_was_never_closed_is_read(tmp_path, size):
  path = write(tmp_path / "x.wav", music(), coding="PCM_16")
  whole = decoding.decode(path)[0]
  data = bytearray(path.read_bytes())
  at = data.find(b"data")
  data[4:8] = data[at + 4 : at + 8] = struct.pack("<I", size)
  path.write_bytes(data)
  samples, found = decoding.decode(path)
  np.testing.assert_array_equal(samples, whole)
  assert "does not say how long it is; the 4.0 s" in found.remarks[0]


@pytest.mark.parametrize("name", ["gsm.wav", "adpcm.wav"])
def test_a_block_that_is_not_whole_is_not_filled_with_the_one_before(tmp_path, name):
  container, coding, rate = FORMATS[name]
  path = write(tmp_path / "x.wav", music(rate=rate), rate, container, coding)
  whole = decoding.decode(path)[0]
  data = bytearray(path.read_bytes())
  at = data.find(b"data")
  length = (len(data) - at - 8) // 2 & ~1
  # As an honest header has it: nothing is missing.
  data[at + 4 : at + 8] = struct.pack("<I", length)
  path.write_bytes(data[: at + 8 + length])
  samples, found = decoding.decode(path)
  np.testing.assert_array_equal(samples, whole[: len(samples)])
  assert len(samples) > 0.4 * len(whole)
  assert found.remarks == ()


def test_an_empty_wav_with_tags_behind_is_empty(tmp_path):
  path = write(tmp_path / "x.wav", np.zeros(0, np.float32), coding="PCM_16")
  body = b"INFOISFT" + struct.pack("<I", 4) + b"me\0\0"
  path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", len(body)) + body)
  with pytest.raises(audio.AudioError, match="empty, no audio samples"):
    decoding.decode(path)


def test_flac_from_a_pipe_says_no_length_and_is_read(tmp_path):
  path = write(tmp_path / "x.flac", music())
  whole = decoding.decode(path)[0]
  data = bytearray(path.read_bytes())
  field = int.from_bytes(data[18:26], "big") >> 36 << 36  # 36 bits of total samples
  data[18:26] = field.to_bytes(8, "big")
  path.write_bytes(data)
  samples, found = decoding.decode(path)
  np.testing.assert_array_equal(samples, whole)
  assert "does not say how long it is" in found.remarks[0]
