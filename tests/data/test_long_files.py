"""Three hours of stereo, inspected in little memory; each measure by its library."""

import hashlib
import subprocess
import sys
import tracemalloc

import librosa
import numpy as np
import pyloudnorm
import pytest
import soundfile
from scipy import signal

from lsaprobe_jax.data import (
  audio,
  decoding,
  fingerprints,
  inspection,
  metering,
  sequential,
)

RATE = 44100
# Prints the peak memory in MiB, and the facts. Not by getrusage: that counts what the
# process that started this one had.
INSPECT = r"""
import re, sys
from lsaprobe_jax.data import audio, inspection
facts = inspection.inspect("long", audio.read_recording(sys.argv[1]))
peak = int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) / 1024
print(peak, facts.seconds, facts.channels, facts.lufs, len(facts.fingerprint.hashes))
"""


def music(seconds, rate=RATE, seed=0):
  """Tones that change twice a second, in noise that swells."""
  rng = np.random.default_rng(seed)
  time = np.arange(round(seconds * rate)) / rate
  pitch = 220 * 2 ** (rng.integers(0, 24, size=int(2 * seconds) + 1) / 12)
  phase = 2 * np.pi * np.cumsum(np.repeat(pitch, -(-rate // 2))[: len(time)]) / rate
  noise = rng.normal(size=len(time)) * (0.02 + 0.02 * np.sin(time / 3))
  return (0.2 * np.sin(phase) + noise).astype(np.float32)


def recording(samples, rate, blocks):
  return audio.Recording(
    source="here",
    read=lambda: iter(np.array_split(samples, blocks)),
    frames=len(samples),
    rate=rate,
    channels=1,
    format="",
  )


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
@pytest.mark.parametrize("seconds", [0.1, 0.39, 0.55, 12.3])
def test_loudness_is_pyloudnorms(rate, seconds):
  samples = music(seconds, rate) * np.linspace(0.01, 1, round(seconds * rate))
  block = min(0.4, len(samples) / rate)
  meter = pyloudnorm.Meter(rate, block_size=block)
  own = metering.Loudness(rate, block)
  for part in np.array_split(samples, 7):
    own.add(part)
  assert own.value() == pytest.approx(meter.integrated_loudness(samples), abs=1e-6)


def test_power_below_the_gate_has_no_loudness():
  own = metering.Loudness(RATE, 0.4)
  own.add(np.full(RATE, 1e-7, np.float32))
  assert own.value() == -np.inf


def test_bandwidth_is_that_of_welchs_whole_periodogram(monkeypatch):
  samples = signal.lfilter(*signal.butter(8, 0.3), music(9.7)).astype(np.float32)
  frequencies, power = signal.welch(samples, RATE, nperseg=4096)
  total = np.cumsum(power.astype(np.float64))
  expected = frequencies[np.searchsorted(total, 0.999 * total[-1])]
  assert inspection.bandwidth(samples, RATE) == expected
  monkeypatch.setattr(metering, "_WELCH_SAMPLES", 50_000)
  own = metering.Bandwidth(RATE, len(samples))
  for part in np.array_split(samples, 23):
    own.add(part)
  assert len(own._averages) > 3
  assert own.value() == pytest.approx(expected, abs=RATE / 4096)


@pytest.mark.parametrize("rates", [(44100, 16000), (22050, 8000), (8000, 22050)])
def test_resampling_by_blocks_is_resampling_bit_by_bit(rates):
  samples = music(5, rates[0])
  whole = audio.resample(samples, *rates)
  parts = list(audio.resampled(np.array_split(samples, 11), *rates))
  np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_facts_do_not_depend_on_the_blocks():
  samples = music(31)
  one, many = (inspection.inspect("x", recording(samples, RATE, k)) for k in (1, 13))
  assert one.plain() == many.plain()
  assert one.sha256 == hashlib.sha256(samples.astype("<f4").tobytes()).hexdigest()
  for name in ("hashes", "frames", "chroma", "embedding"):
    np.testing.assert_array_equal(
      *(getattr(facts.fingerprint, name) for facts in (one, many))
    )
  direct = fingerprints.fingerprint(samples, RATE)
  np.testing.assert_array_equal(direct.hashes, one.fingerprint.hashes)


def test_a_spectrogram_in_stretches_has_the_frames_of_one(monkeypatch):
  samples = music(40, 8000)
  spectrum = np.abs(librosa.stft(samples, n_fft=512, hop_length=256))
  monkeypatch.setattr(fingerprints, "_STRETCH", 1 << 15)
  own = [
    np.abs(librosa.stft(part, n_fft=512, hop_length=256, center=False))[
      :, begin - first : end - first
    ]
    for part, first, begin, end in fingerprints._stretches(samples, 512, 256, 32)
  ]
  assert len(own) > 5
  np.testing.assert_allclose(np.concatenate(own, axis=1), spectrum, atol=1e-4)


def test_a_fingerprint_in_stretches_is_the_same_recording(monkeypatch):
  samples = music(60, 8000)
  whole = fingerprints.fingerprint(samples, 8000)
  monkeypatch.setattr(fingerprints, "_STRETCH", 1 << 15)
  parts = fingerprints.fingerprint(samples, 8000)
  alike = np.isin(whole.hashes, parts.hashes).mean()
  assert alike > 0.97
  np.testing.assert_allclose(parts.chroma, whole.chroma, atol=1e-4)
  assert list(fingerprints.duplicates([whole, parts])) == [(0, 1)]


def test_memory_follows_the_length_at_a_small_part_of_a_gibibyte(tmp_path, monkeypatch):
  """As the test of three hours below, with all that is scaled down by 36."""
  path = tmp_path / "short.flac"
  block = np.stack([music(60), music(60, seed=1)], axis=1)
  with soundfile.SoundFile(path, "w", RATE, 2, "PCM_S8") as file:
    for _ in range(5):
      file.write(block)
  monkeypatch.setattr(sequential, "BLOCK_SAMPLES", 1 << 15)
  monkeypatch.setattr(metering, "_WELCH_SAMPLES", 1 << 18)
  monkeypatch.setattr(fingerprints, "_STRETCH", 1 << 18)
  fingerprints.fingerprint(block[:RATE, 0], RATE)  # what is loaded once
  tracemalloc.start()
  try:
    facts = inspection.inspect("short", audio.read_recording(path))
    _, peak = tracemalloc.get_traced_memory()
  finally:
    tracemalloc.stop()
  assert facts.seconds == 300
  assert peak < 1024 * 2**20 / 36


@pytest.mark.slow
def test_three_hours_of_stereo_are_inspected_within_a_gibibyte(tmp_path):
  path = tmp_path / "long.flac"
  block = np.stack([music(60), music(60, seed=1)], axis=1)
  # 8 bits: little to write, and above the gate.
  with soundfile.SoundFile(path, "w", RATE, 2, "PCM_S8") as file:
    for _ in range(180):
      file.write(block)
  done = subprocess.run(
    [sys.executable, "-c", INSPECT, str(path)],
    capture_output=True,
    text=True,
    check=True,
  )
  peak, seconds, channels, lufs, landmarks = map(float, done.stdout.split())
  assert (seconds, channels) == (10_800, 2)
  assert peak < 1024
  assert -40 < lufs < -10
  assert landmarks > 10_000


def test_the_limit_counts_samples_and_lets_three_hours_of_stereo_pass():
  assert 2 * 3 * 3600 * RATE <= decoding.MAX_SAMPLES


def test_a_small_file_that_would_fill_memory_is_refused(tmp_path):
  path = tmp_path / "bomb.flac"
  block = np.zeros((1 << 22, 1), np.int16)
  with soundfile.SoundFile(path, "w", 655_350, 1, "PCM_16") as file:
    for _ in range(20):
      file.write(block)
  assert path.stat().st_size < 1 << 19
  with pytest.raises(audio.AudioError, match=r"bomb\.flac: .* bytes unpack to more"):
    audio.decode(path)
