"""Decoding, checks and preparation of single files."""

import inspect

import numpy as np
import pyloudnorm
import pytest
import soundfile

from lsaprobe_jax.data import audio, decoding, preparation, vorbis

RATE = 16000


def tone(seconds=2.0, rate=RATE, hz=440.0, level=0.3):
  t = np.arange(round(seconds * rate)) / rate
  return (level * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def write(path, samples, rate=RATE, subtype="FLOAT"):
  soundfile.write(path, samples, rate, subtype=subtype)
  return path


def test_decode_mixes_channels_to_their_mean(tmp_path):
  left, right = tone(hz=300), tone(hz=500)
  path = write(tmp_path / "x.wav", np.stack([left, right], axis=1), 22050)
  mono, rate = audio.decode(path)
  assert rate == 22050
  assert mono.dtype == np.float32
  np.testing.assert_allclose(mono, (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_decode_formats(tmp_path, suffix):
  path = tmp_path / f"x.{suffix}"
  soundfile.write(path, tone(), RATE)
  mono, rate = audio.decode(path)
  assert rate == RATE
  assert abs(audio.rms_dbfs(mono) - audio.rms_dbfs(tone())) < 0.5


def _bad(folder, kind):
  path = folder / f"{kind}.wav"
  if kind == "corrupt":
    path.write_bytes(b"RIFF" + bytes(range(256)) * 8)
  elif kind == "zero_bytes":
    path.write_bytes(b"")
  elif kind == "no_samples":
    write(path, np.zeros(0, np.float32))
  elif kind == "silent":
    write(path, np.zeros(4 * RATE, np.float32))
  elif kind == "nan":
    samples = tone(4)
    samples[77] = np.nan
    write(path, samples)
  elif kind == "inf":
    samples = tone(4)
    samples[77] = np.inf
    write(path, samples)
  elif kind == "short":
    write(path, tone(0.5))
  elif kind == "wrong_rate":
    write(path, tone(4, rate=8000), 8000)
  elif kind == "text":
    path.write_text("this is not audio\n" * 100)
  return path  # 'missing' is not written.


BAD = {
  "corrupt": "cannot be decoded",
  "text": "cannot be decoded",
  "zero_bytes": "0 bytes",
  "no_samples": "no audio samples",
  "silent": "silent",
  "nan": "NaN or infinite",
  "inf": "NaN or infinite",
  "short": "too short",
  "wrong_rate": "rate 8000 Hz where 16000 Hz",
  "missing": "no such file",
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_gives_one_line_that_names_file_and_mend(tmp_path, kind):
  path = _bad(tmp_path, kind)
  with pytest.raises(audio.AudioError, match=BAD[kind]) as caught:
    preparation.prepare(
      path, sample_rate=RATE, segment_seconds=2.0, on_wrong_rate="error"
    )
  message = str(caught.value)
  assert message.startswith(str(path))
  assert message.count(str(path)) == 1
  assert "\n" not in message
  assert ";" in message  # what to do about it


def test_header_that_claims_days_is_refused(tmp_path, monkeypatch):
  path = write(tmp_path / "x.wav", tone())
  monkeypatch.setattr(decoding, "MAX_SAMPLES", len(tone()) - 1)
  with pytest.raises(audio.AudioError, match="claims"):
    audio.decode(path)


def test_resample_keeps_pitch_and_length():
  out = audio.resample(tone(2.0, rate=44100, hz=1000), 44100, RATE)
  assert len(out) == 2 * RATE
  spectrum = np.abs(np.fft.rfft(out))
  assert abs(np.argmax(spectrum) / 2.0 - 1000) < 1
  same = tone()
  assert audio.resample(same, RATE, RATE) is same


@pytest.mark.parametrize("seconds", [0.1, 0.3, 4.0])
def test_loudness_reaches_target_at_any_level_and_length(seconds):
  noise = np.random.default_rng(0).normal(size=round(seconds * RATE))
  soft, loud = (0.01 * noise).astype(np.float32), (0.2 * noise).astype(np.float32)
  a, b = (audio.normalise_loudness(x, RATE) for x in (soft, loud))
  np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
  assert -30 < audio.rms_dbfs(a) < -15


def test_loudness_never_clips():
  click = tone(4.0, level=0.002)
  click[1000] = 1.0
  out = audio.normalise_loudness(click, RATE)
  assert np.abs(out).max() == pytest.approx(audio.PEAK, abs=1e-6)
  np.testing.assert_allclose(out / out[1000], click, atol=1e-6)


def test_check_refuses_channels():
  with pytest.raises(audio.AudioError, match="one channel"):
    audio.check(np.ones((2, 100), np.float32), "x")


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 64, 101])
def test_segment_order_visits_every_slot_once(count):
  assert sorted(preparation.segment_order(count)) == list(range(count))


def test_segment_order_spreads_the_first_few():
  assert preparation.segment_order(100)[:3] == [50, 25, 75]


def test_prepare_passes_over_silence(tmp_path):
  samples = tone(16.0)
  samples[8 * RATE : 12 * RATE] = 0  # slot 2, the first that is visited
  path = write(tmp_path / "x.wav", samples)
  segments, dropped = preparation.prepare(
    path, sample_rate=RATE, segment_seconds=4.0, max_segments=2
  )
  assert [start for start, _ in segments] == [4.0, 12.0]
  assert [len(segment) for _, segment in segments] == [4 * RATE] * 2
  assert len(dropped) == 1
  assert "at 8.000 s: silent" in dropped[0]


def test_prepare_cannot_know_the_group():
  """Members and non-members take one code path: it has nowhere to put the group."""
  functions = (
    preparation.prepare,
    audio.decode,
    audio.resample,
    audio.normalise_loudness,
  )
  names = {name for f in functions for name in inspect.signature(f).parameters}
  assert not names & {"group", "groups", "member", "members", "split", "track"}


def test_vorbis_is_the_same_every_time_and_long_files_are_chunked(tmp_path):
  samples = np.tile(tone(1.0), 130)
  for name in "xy":
    vorbis.write(tmp_path / name, samples, RATE, serial=5)
  data = (tmp_path / "x").read_bytes()
  assert data == (tmp_path / "y").read_bytes()
  decoded, rate = audio.decode(tmp_path / "x")
  assert (len(decoded), rate) == (len(samples), RATE)
  noise = np.mean((decoded - samples) ** 2) / np.mean(samples**2)
  assert 10 * np.log10(noise) < -20
  # The checksum is libogg's own: renumbering with the old number changes nothing.
  assert vorbis.with_serial(data, 5) == data
  with pytest.raises(ValueError, match="not an Ogg page"):
    vorbis.with_serial(b"junk", 1)


def test_integers_stored_as_floats_are_refused(tmp_path):
  path = write(tmp_path / "x.wav", 32767 * tone(4.0, level=1.0))
  with pytest.raises(audio.AudioError, match="integers stored as floats"):
    preparation.prepare(path, sample_rate=RATE, segment_seconds=2.0)


@pytest.mark.parametrize(
  ("samples", "said"),
  [
    (tone(level=0.001 * np.sqrt(2)), r"silent \(-60 dBFS, below -50\)"),
    (0.3 + 1e-4 * tone(level=1.0), r"constant \(0\.3, and -83 dBFS around it"),
    (np.eye(1, 4 * RATE, 100, dtype=np.float32)[0], r"a single click \(.* without it"),
  ],
)
def test_what_is_as_good_as_silent_is_refused(samples, said):
  with pytest.raises(audio.AudioError, match=f"^x: {said}"):
    audio.check(np.float32(samples), "x")
  audio.check(tone(level=10 ** (-49 / 20) * np.sqrt(2)), "x")


@pytest.mark.parametrize(("samples", "rate"), [(7717, 22050), (7718, 22050)])
def test_short_audio_is_not_refused_by_rounding(samples, rate):
  noise = np.random.default_rng(0).normal(size=samples).astype(np.float32) * 0.1
  loudness = pyloudnorm.Meter(rate, block_size=0.3)
  found = loudness.integrated_loudness(audio.normalise_loudness(noise, rate))
  assert found == pytest.approx(audio.TARGET_LUFS, abs=1)
