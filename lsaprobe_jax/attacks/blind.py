"""Blind baseline: can the two sides be told apart without any model?

Das et al. 2024 (arXiv 2406.16201): where a classifier that never queries the target
separates members from non-members, the split leaks and no attack on it means
anything. Its AUC, side a against side b, is the first gate of docs/evaluation.md, rule
5.
"""

import numpy as np
from scipy.stats import rankdata

from lsaprobe_jax import optional
from lsaprobe_jax.errors import ArgumentError

MELS = 32
MFCCS = 13
WINDOW_SECONDS = 0.064
SHORTEST_WINDOW = 256  # below it, some of 32 mel bands hold no bin at 44.1 kHz
REGULARISATION = 1.0
"""Inverse strength C of the regression. It is fixed, as tuning it would need labels. It
is not smaller, as leaks tend to be narrow (the cutoff of a codec, a gain) and shrinkage
hides those first."""

# What `features` follows over time, in its order, of the mean of the channels.
_SERIES = (
  *(f"log-mel band {i + 1} of {MELS}" for i in range(MELS)),
  *(f"MFCC {i}" for i in range(MFCCS)),
  *("loudness", "spectral centroid", "spectral bandwidth"),
)
# What it follows in stereo besides.
_SIDE_SERIES = (
  "level of the side over the middle",
  "level of the left over the right",
  "spectral centroid of the side",
  "spectral bandwidth of the side",
)


def feature_names(channels: int = 1) -> tuple[str, ...]:
  """Returns what the features of clips of so many channels are, in their order."""
  series = _SERIES if channels == 1 else (*_SERIES, *_SIDE_SERIES)
  return tuple(f"{of} of {name}" for of in ("mean", "spread") for name in series)


FEATURE_NAMES = feature_names()

_BATCH = 64
# Longer clips are taken fewer at a time: 16 s of 64 at 16 kHz.
_BATCH_SAMPLES = 64 << 18
_FLOOR = 1e-10  # power of digital silence
# dB; beyond it, one of two signals is as good as not there.
_WIDEST = 60.0


def blind_scores(audio, sample_rate: int, sides, tracks, seed: int) -> np.ndarray:
  """Returns cross-fitted scores for 'this clip is of side a', from the audio alone.

  Args:
    audio: [n, samples] or [n, 2, samples] finite waveforms in [-1, 1], at least 1,024
      samples.
    sample_rate: in hertz.
    sides: [n] True for side a (the members of model A).
    tracks: [n] name of the track; a track lies on one side.
    seed: it deals the tracks to folds.

  Returns:
    [n] scores in (0, 1), see `cross_fit`. Intervals of their AUC must be told that
    they are cross-fitted (`metrics.intervals.interval`).

  Raises:
    ArgumentError: a shape is wrong, values are not finite, a track lies on both sides,
      or a side has fewer than two tracks.
  """
  return cross_fit(features(audio, sample_rate), sides, tracks, seed)


def features(audio, sample_rate: int) -> np.ndarray:
  """Returns means and deviations over time of what the ear and a codec would change.

  They are those of the log-mel spectrum (32 bands), of 13 MFCC, of the loudness (RMS in
  dB), and of the spectral centroid and bandwidth. All come from one magnitude
  spectrogram with windows of at most 64 ms, short enough for four of them in a clip.

  In stereo these are features of the middle, the mean of the channels. Beside them
  stand four series that mono does not have and that mastering and joint-stereo codecs
  change: the level in dB of the side (half the difference of the channels) over the
  middle and of the left channel over the right, both within 60 dB, and the side's
  centroid and bandwidth, 0 where it is silent.

  Args:
    audio: [n, samples] or [n, 2, samples] finite waveforms, at least 1,024 samples.
    sample_rate: in hertz.

  Returns:
    [n, 2 * (32 + 13 + 3)] finite features, or [n, 2 * (32 + 13 + 3 + 4)] in stereo,
    not standardised (`feature_names`).

  Raises:
    ArgumentError: the shape is wrong, or values are not finite.
  """
  samples = audio.shape[-1]
  if audio.shape[1:-1] not in ((), (2,)) or samples < 4 * SHORTEST_WINDOW:
    raise ArgumentError(
      f"audio must be [n, samples >= 1024] or [n, 2, samples], got {audio.shape}"
    )
  longest = min(samples / 4, WINDOW_SECONDS * sample_rate)
  window = max(SHORTEST_WINDOW, 2 ** int(np.log2(longest)))
  size = min(_BATCH, max(1, _BATCH_SAMPLES // samples))
  batches = range(0, len(audio), size)
  return np.concatenate(
    [_batch_features(audio[i : i + size], sample_rate, window) for i in batches]
  )


def cross_fit(values, sides, tracks, seed: int) -> np.ndarray:
  """Returns scores by a logistic regression that has not seen the clip's track.

  Tracks are shuffled and dealt to folds side by side, so that all folds have the
  same share of either side, to one track. The scores are ranks within a fold: the
  decision values of different fits share no scale, and pooled as they are they
  have an AUC below 0.5 by about 0.01 where nothing is to be found (by 0.02 at
  worst in simulation; ranks: none, see tests). At least four tracks of the smaller
  side fall in a fold, if there are eight: ranks of fewer say little.

  Args:
    values: [n, f] features.
    sides: [n] True for side a.
    tracks: [n] name of the track; a track lies on one side.
    seed: it deals the tracks to folds.

  Returns:
    [n] rank within its fold, in (0, 1); higher means side a.

  Raises:
    ArgumentError: a track lies on both sides, or a side has fewer than two.
  """
  # Slow to import, and needed by this baseline alone.
  from sklearn.linear_model import LogisticRegression
  from sklearn.pipeline import make_pipeline
  from sklearn.preprocessing import StandardScaler

  sides = np.asarray(sides).astype(bool)
  fold = _deal(sides, np.asarray(tracks), seed)
  scores = np.empty(len(sides))
  for k in np.unique(fold):
    test = fold == k
    model = make_pipeline(
      StandardScaler(), LogisticRegression(C=REGULARISATION, max_iter=10_000)
    ).fit(values[~test], sides[~test])
    rank = rankdata(model.decision_function(values[test]))
    scores[test] = (rank - 0.5) / test.sum()
  return scores


def _deal(sides, tracks, seed) -> np.ndarray:
  """Deals each clip its fold, by track and stratified by side."""
  names = [np.unique(tracks[sides == side]) for side in (True, False)]
  if both := set(names[0]) & set(names[1]):
    raise ArgumentError(f"tracks: {len(both)} lie on both sides, e.g. {min(both)}")
  fewest = min(map(len, names))
  if fewest < 2:
    raise ArgumentError("tracks: the blind baseline needs at least two on each side")
  folds = int(np.clip(fewest // 4, 2, 5))
  rng = np.random.default_rng(seed)
  fold_of_track = {
    track: i % folds for side in names for i, track in enumerate(rng.permutation(side))
  }
  return np.array([fold_of_track[track] for track in tracks])


def _batch_features(audio, sample_rate, window) -> np.ndarray:
  audio = np.asarray(audio, np.float32)
  within = tuple(range(1, audio.ndim))
  if broken := int((~np.isfinite(audio)).any(axis=within).sum()):
    raise ArgumentError(f"audio: {broken} of {len(audio)} clips hold NaN or infinity")
  librosa = optional.require("librosa", "audio")
  middle = audio if audio.ndim == 2 else audio.mean(axis=1)
  magnitude = np.abs(librosa.stft(middle, n_fft=window, hop_length=window // 4))
  mel = librosa.feature.melspectrogram(
    S=magnitude**2, sr=sample_rate, n_fft=window, n_mels=MELS
  )
  log_mel = librosa.power_to_db(mel, amin=_FLOOR, top_db=None)
  rms = librosa.feature.rms(S=magnitude, frame_length=window)
  series = [
    log_mel,
    librosa.feature.mfcc(S=log_mel, n_mfcc=MFCCS),
    20 * np.log10(np.maximum(rms, _FLOOR)),
    librosa.feature.spectral_centroid(S=magnitude, sr=sample_rate, n_fft=window),
    librosa.feature.spectral_bandwidth(S=magnitude, sr=sample_rate, n_fft=window),
  ]
  if audio.ndim == 3:
    series += _side_series(audio, sample_rate, window, rms)
  over_time = np.concatenate(series, axis=1)
  return np.concatenate([over_time.mean(axis=2), over_time.std(axis=2)], axis=1)


def _side_series(audio, sample_rate, window, middle_rms) -> list[np.ndarray]:
  """Returns what stereo has besides, each [n, 1, frames], in the order of the names."""
  librosa = optional.require("librosa", "audio")

  def analysed(signal):
    magnitude = np.abs(librosa.stft(signal, n_fft=window, hop_length=window // 4))
    return magnitude, librosa.feature.rms(S=magnitude, frame_length=window)

  def over(one, other):
    decibels = 20 * np.log10(np.maximum(one, _FLOOR) / np.maximum(other, _FLOOR))
    return np.clip(decibels, -_WIDEST, _WIDEST)

  (_, left), (_, right) = analysed(audio[:, 0]), analysed(audio[:, 1])
  magnitude, side = analysed((audio[:, 0] - audio[:, 1]) / 2)
  about = {"S": magnitude, "sr": sample_rate, "n_fft": window}
  return [
    over(side, middle_rms),
    over(left, right),
    librosa.feature.spectral_centroid(**about),
    librosa.feature.spectral_bandwidth(**about),
  ]
