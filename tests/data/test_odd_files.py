"""Files that are odd or no music: what is read of them, and what is said."""

import itertools
import os
import pathlib

import numpy as np
import pytest
import soundfile

from lsaprobe_jax.data import audio, decoding, preparation, sequential

RATE = 44100
SECONDS = 4.0


def music(seed=0, seconds=SECONDS, rate=RATE):
  """A chord that changes and some noise; its first half is not its second."""
  rng = np.random.default_rng(seed)
  time = np.arange(round(seconds * rate)) / rate
  tones = [np.sin(2 * np.pi * hz * time * (1 + 0.05 * time)) for hz in (220, 331, 554)]
  return (0.1 * sum(tones) + 0.02 * rng.normal(size=len(time))).astype(np.float32)


def write(path, samples, rate=RATE, container=None, coding=None):
  soundfile.write(path, samples, rate, format=container, subtype=coding)
  return path


ODD = {
  "page.mp3": (b"<!DOCTYPE html>\n<html><body>Not found</body></html>", "an HTML page"),
  "tag.mp3": (b"ID3\x03\0\0\0\0\x07\x76" + bytes(1014), "an ID3 tag and no audio"),
  "aac.mp3": (b"\xff\xf1\x50\x80\x02\x1f\xfc" * 200, "it is AAC"),
  "apple.m4a": (b"\0\0\0\x20ftypM4A " + bytes(500), "it is MP4"),
  "windows.wma": (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(99), "Windows Media"),
  "pack.wav": (b"wvpk" + bytes(100), "WavPack"),
  "lfs.flac": (b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS"),
  "error.ogg": (b'{"error": "not found"}', "it is JSON"),
  "zeros.mp3": (bytes(4096), "nothing but zeros"),
  # libsndfile takes any bytes for samples where the name ends so.
  "text.au": (b"this is not audio\n" * 500, "it is text, not audio"),
  "noise.snd": (bytes(range(1, 256)) * 50, "cannot be decoded"),
  "cover.wav": (b"\x89PNG\r\n\x1a\n" + bytes(50), "a PNG image"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_no_audio_is_told_what_it_is(tmp_path, name):
  data, reason = ODD[name]
  path = tmp_path / name
  path.write_bytes(data)
  with pytest.raises(audio.AudioError, match=reason) as caught:
    audio.decode(path)
  message = str(caught.value)
  assert message.startswith(f"{path}: cannot be decoded (")
  assert "exist" not in message
  assert ";" in message


def test_a_wrong_suffix_does_not_matter(tmp_path):
  path = tmp_path / "really_flac.mp3"
  write(path, music(), container="FLAC")
  assert len(decoding.decode(path)[0]) == round(SECONDS * RATE)


def test_channels_that_cancel_in_a_part_are_told(tmp_path):
  path = tmp_path / "x.wav"
  sound = np.random.default_rng(0).normal(size=6 * RATE) * 0.1
  sign = np.where(np.arange(6 * RATE) < 3 * RATE, -1, 1)
  soundfile.write(path, np.stack([sound, sign * sound], axis=1), RATE)
  _, found = decoding.decode(path)
  assert found.remarks == (
    f"{path}: its channels cancel in 3.0 s of it, which are silent in their mean",
  )


def test_channels_that_cancel_are_not_silence(tmp_path):
  left = music()
  path = write(tmp_path / "x.wav", np.stack([left, -left], axis=1), coding="FLOAT")
  samples, found = decoding.decode(path)
  np.testing.assert_array_equal(samples, left)
  assert (found.keep, found.channels) == (0, 2)
  assert found.remarks[0] == (
    f"{path}: its channels cancel in their mean; channel 1 alone is used"
  )
  recording = audio.read_recording(path)
  np.testing.assert_array_equal(recording.samples, left)
  assert recording.remarks == found.remarks
  segments, remarks = preparation.prepare(path, sample_rate=16000, segment_seconds=1.0)
  assert len(segments) == 4
  assert remarks == list(found.remarks)


def test_channels_with_nothing_in_common_are_averaged(tmp_path):
  rng = np.random.default_rng(0)
  left, right = 0.1 * rng.normal(size=(2, RATE)).astype(np.float32)
  path = write(tmp_path / "x.wav", np.stack([left, right], axis=1), coding="FLOAT")
  samples, found = decoding.decode(path)
  np.testing.assert_allclose(samples, (left + right) / 2, atol=1e-7)
  assert found.remarks == ()
  one = write(tmp_path / "y.wav", np.stack([left, 0 * left], axis=1), coding="FLOAT")
  np.testing.assert_allclose(decoding.decode(one)[0], left / 2, atol=1e-7)


def test_more_than_two_channels_are_averaged_and_that_is_said(tmp_path):
  channels = np.stack([music(seed) for seed in range(6)], axis=1)
  path = write(tmp_path / "x.wav", channels, coding="FLOAT")
  samples, found = decoding.decode(path)
  np.testing.assert_allclose(samples, channels.mean(axis=1), atol=1e-6)
  assert found.remarks == (
    f"{path}: 6 channels, all averaged, a low-frequency one included",
  )


@pytest.mark.parametrize(
  ("samples", "reason"),
  [
    (np.full(RATE, 0.5, np.float32), r"constant \(0\.5"),
    (np.eye(1, RATE // 8, 999, dtype=np.float32)[0], "a single click"),
    (np.eye(1, RATE // 8, 0, dtype=np.float32)[0], "a single click"),
    (np.zeros(RATE, np.float32), "silent"),
    (np.full(RATE, 1e30, np.float32) * music(seconds=1), "beyond full scale"),
  ],
)
def test_signals_that_are_no_music_are_refused_by_their_reason(samples, reason):
  with pytest.raises(audio.AudioError, match=f"^name: .*{reason}.*;"):
    audio.check(samples, "name")


@pytest.mark.parametrize(
  "samples",
  [
    music() + np.float32(0.3),
    music(seconds=0.05),
    np.tile(np.eye(1, 400, dtype=np.float32)[0], 200),  # a hundred clicks a second
  ],
)
def test_offsets_short_clips_and_trains_of_clicks_are_not(samples):
  audio.check(samples, "name")


def test_a_clicks_segment_is_passed_over(tmp_path):
  samples = music(seconds=4.0, rate=16000)
  samples[16000:32000] = 0
  samples[20000] = 1.0
  samples[32000:48000] = 0.4
  path = write(tmp_path / "x.wav", samples, 16000, coding="FLOAT")
  segments, dropped = preparation.prepare(path, sample_rate=16000, segment_seconds=0.5)
  assert sorted(start for start, _ in segments) == [0.0, 0.5, 3.0, 3.5]
  reasons = {line.split("s: ")[1].split(" (")[0] for line in dropped}
  assert reasons == {"a single click", "silent", "constant"}


def test_pipes_folders_and_links_in_circles_are_named(tmp_path):
  (tmp_path / "folder.wav").mkdir()
  os.mkfifo(tmp_path / "pipe.wav")
  (tmp_path / "a.wav").symlink_to(tmp_path / "b.wav")
  (tmp_path / "b.wav").symlink_to(tmp_path / "a.wav")
  names = ("folder.wav", "pipe.wav", "a.wav", "x" * 300 + ".wav", "nul\0.wav")
  for name in names:
    for read in (audio.decode, audio.read_recording):
      with pytest.raises(audio.AudioError) as caught:
        read(tmp_path / name)
      assert str(caught.value).startswith(f"{tmp_path}/{name[:3]}")
      assert str(caught.value).isprintable()


def test_a_name_that_is_no_text_is_read_and_escaped(tmp_path):
  path = pathlib.Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\n.wav"))
  write(tmp_path / "x.wav", music()).rename(path)
  assert audio.decode(path)[1] == RATE
  assert audio.read_recording(path).source.endswith("caf\\udce9\\n.wav")
  path.write_bytes(b"junk")
  with pytest.raises(audio.AudioError, match=r"caf\\udce9\\n\.wav: cannot"):
    audio.decode(path)


def test_any_failure_of_a_library_is_one_named_line(tmp_path, monkeypatch):
  path = write(tmp_path / "x.wav", music())
  for error, reason in (
    (MemoryError(), "more than fits in memory"),
    (KeyError("strange"), "KeyError: 'strange'"),
    (OSError(5, "Input/output error"), "Input/output error"),
  ):

    def fail(*args, error=error, **settings):
      raise error

    monkeypatch.setattr(sequential.Sound, "read", fail)
    with pytest.raises(audio.AudioError, match=f"^{path}: .*{reason}"):
      audio.decode(path)

  def stop(*args, **settings):
    raise KeyboardInterrupt

  monkeypatch.setattr(sequential.Sound, "read", stop)
  with pytest.raises(KeyboardInterrupt):
    audio.decode(path)


def test_a_file_that_changes_between_two_readings_is_refused(tmp_path):
  path = write(tmp_path / "x.wav", music())
  recording = audio.read_recording(path)
  write(path, music(seconds=1))
  with pytest.raises(audio.AudioError, match="changed while it was read"):
    list(itertools.chain(recording.read()))
