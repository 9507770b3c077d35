"""Clips of two channels: what is kept of a file, and what is said of it."""

import hashlib
import types

import numpy as np
import pyloudnorm
import pytest
import soundfile
import soxr
from test_odd_files import music

from lsaprobe_jax.data import audio, decoding, preparation
from lsaprobe_jax.data.corpus import load_audio, open_corpus
from lsaprobe_jax.errors import ArgumentError

RATE = 44100


def stereo(seed=0, seconds=2.0, rate=RATE):
  """Two channels with nothing in common, the right one softer by 12 dB."""
  return np.stack(
    [music(seed, seconds, rate), 0.25 * music(seed + 100, seconds, rate)], axis=1
  )


def write(path, samples, rate=RATE, subtype="FLOAT"):
  path.parent.mkdir(parents=True, exist_ok=True)
  soundfile.write(path, samples, rate, subtype=subtype)
  return path


def opened(path, **how):
  wanted = {"sample_rate": RATE, "clip_seconds": 0.5, "channels": 2} | how
  return open_corpus(path, **wanted)


@pytest.mark.parametrize("coding", ["x.wav", "x.flac", "x.ogg"])
def test_two_channels_are_decoded_as_by_soundfile_at_once(tmp_path, coding):
  # More than a block, of which the last is ragged.
  path = tmp_path / coding
  soundfile.write(path, stereo(seconds=13.0), RATE)
  samples, found = decoding.decode(path, channels=2)
  expected = soundfile.read(path, dtype="float32")[0]
  np.testing.assert_array_equal(samples, expected)
  assert (found.channels, found.remarks) == (2, ())
  # Mono is what it was, whoever reads the file in stereo.
  np.testing.assert_array_equal(
    audio.decode(path)[0], expected.mean(axis=1, dtype=np.float32)
  )


def test_one_channel_becomes_two_and_is_remarked(tmp_path):
  path = write(tmp_path / "x.wav", music(1, 1.0))
  samples, found = decoding.decode(path, channels=2)
  np.testing.assert_array_equal(samples, np.stack([music(1, 1.0)] * 2, axis=1))
  assert found.remarks == (f"{path}: one channel, which stands for both",)


def test_more_channels_than_two_are_refused_alone(tmp_path):
  write(tmp_path / "surround.wav", np.stack([music(i, 1.0) for i in range(6)], axis=1))
  write(tmp_path / "plain.wav", stereo(1))
  corpus = opened(tmp_path)
  assert corpus.tracks == ("plain",)
  ((name, message),) = corpus.errors
  assert name.endswith("surround.wav")
  assert "6 channels where two are wanted; mix it down to stereo" in message


@pytest.mark.parametrize(
  ("right", "remark"),
  [
    (-1.0, "its channels cancel in their mean; both are used as they are"),
    (0.0, "its right channel is silent; both are used as they are"),
  ],
)
def test_channels_are_kept_where_the_mean_would_not_do(tmp_path, right, remark):
  left = music(2, 1.0)
  path = write(tmp_path / "x.wav", np.stack([left, right * left], axis=1))
  samples, found = decoding.decode(path, channels=2)
  np.testing.assert_array_equal(samples[:, 1], right * left)
  assert found.remarks == (f"{path}: {remark}",)


def test_two_channels_are_resampled_as_each_is():
  samples = stereo(seconds=3.0)
  blocks = np.split(samples, [1000, 50_001, 50_002])
  at_once = audio.resample(samples, RATE, 48000)
  streamed = np.concatenate(list(audio.resampled(blocks, RATE, 48000)))
  np.testing.assert_array_equal(streamed, at_once)
  for channel in range(2):
    alone = soxr.resample(samples[:, channel], RATE, 48000, quality="HQ")
    np.testing.assert_array_equal(at_once[:, channel], alone)


def test_a_clip_has_one_loudness_and_keeps_its_balance(tmp_path):
  path = write(tmp_path / "x.wav", stereo(3))
  how = {"sample_rate": RATE, "segment_seconds": 1.0, "channels": 2}
  segments, _ = preparation.prepare(path, **how)
  assert [start for start, _ in segments] == [1.0, 0.0]
  for start, samples in segments:
    own = stereo(3)[round(start * RATE) :][:RATE]
    gains = samples / own
    assert np.ptp(gains) < 1e-4 * gains.mean()
    # By BS.1770 the powers of two channels add up.
    lufs = [pyloudnorm.Meter(RATE).integrated_loudness(c) for c in samples.T]
    both = 10 * np.log10(np.sum(10 ** (np.array(lufs) / 10)))
    assert both == pytest.approx(audio.TARGET_LUFS, abs=0.1)


def test_a_corpus_has_channels_first_and_hashes_of_its_samples(tmp_path):
  write(tmp_path / "x.wav", stereo(4))
  corpus = opened(tmp_path)
  assert corpus.audio.shape == (4, 2, RATE // 2)
  assert corpus.audio.dtype == np.float32
  assert corpus.audio.flags["C_CONTIGUOUS"]
  assert corpus.channels == 2
  assert "stereo" in repr(corpus)
  for clip, samples in zip(corpus.clips, corpus.audio, strict=True):
    assert clip.sha256 == hashlib.sha256(samples.tobytes()).hexdigest()
    own = stereo(4)[round(clip.start_seconds * RATE) :][: RATE // 2].T
    # Left is first: the clip is the file's own but for its gain.
    assert np.ptp(samples / own) < 1e-4 * np.mean(samples / own)
  first = corpus.per_track(1).head(0.25)
  np.testing.assert_array_equal(first.audio, corpus.audio[:1, :, : RATE // 4])
  mono = opened(tmp_path, channels=1)
  assert mono.audio.shape == (4, RATE // 2)
  assert [clip.id for clip in mono.clips] == [clip.id for clip in corpus.clips]
  assert mono.fingerprint() != corpus.fingerprint()


def test_a_model_says_how_many_channels_it_takes(tmp_path):
  write(tmp_path / "x.wav", stereo(5))
  like = types.SimpleNamespace(sample_rate=22050, clip_seconds=0.5, channels=2)
  assert load_audio(tmp_path, like=like).audio.shape == (4, 2, 11025)
  assert load_audio(tmp_path, like=like, channels=1).audio.shape == (4, 11025)
  silent = types.SimpleNamespace(sample_rate=22050, clip_seconds=0.5)
  assert load_audio(tmp_path, like=silent).channels == 1
  assert load_audio(tmp_path, sample_rate=RATE, clip_seconds=1.0).channels == 1
  with pytest.raises(ArgumentError, match=r"^channels=6: 1 for mono, or 2 for stereo"):
    load_audio(tmp_path, like=like, channels=6)


def broken(kind):
  samples = stereo(6, 1.0)
  if kind == "constant":
    # Each channel has a mean of its own.
    samples[:] = (0.25, -0.5)
  elif kind == "click":
    samples[:] = 0
    samples[100:104] = 0.9
  elif kind == "silent":
    samples *= 1e-3
  else:
    samples[5000, 1] = np.nan
  return samples


@pytest.mark.parametrize(
  ("kind", "message"),
  [
    ("constant", r"constant \(0.25 and -0.5, and -inf dBFS"),
    ("click", r"a single click \(-inf dBFS"),
    ("silent", r"silent \(-\d+ dBFS"),
    ("nan", "1 NaN or infinite samples"),
  ],
)
def test_what_no_score_can_be_trusted_on_is_refused(tmp_path, kind, message):
  write(tmp_path / "x.wav", broken(kind))
  with pytest.raises(audio.AudioError, match=message):
    opened(tmp_path)


def test_one_silent_channel_is_music():
  samples = stereo(7, 1.0)
  samples[:, 1] = 0
  audio.check(samples, "x")


def test_channels_in_the_place_of_time_are_refused():
  with pytest.raises(audio.AudioError, match=r"shape \(2, 44100\); mix it to one"):
    audio.check(stereo(8, 1.0).T, "x")


def test_a_built_corpus_stands_for_both_channels_and_says_so_once():
  wanted = {"sample_rate": 16000, "clip_seconds": 2.0, "groups": ["dev"]}
  mono = open_corpus("piano", **wanted)
  both = open_corpus("piano", channels=2, **wanted)
  np.testing.assert_array_equal(both.audio[:, 0], mono.audio)
  np.testing.assert_array_equal(both.audio[:, 1], mono.audio)
  remarks = [message for _, message in both.errors if "channel" in message]
  assert len(remarks) == 1
  assert remarks[0].endswith("built with one channel, which stands for both")
  assert both.fingerprint() != mono.fingerprint()
