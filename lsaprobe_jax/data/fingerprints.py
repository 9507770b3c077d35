"""Finds the same music twice: landmarks for recordings, chroma for covers.

Landmarks (Wang, "An industrial-strength audio search algorithm", ISMIR 2003) are
pairs of spectral peaks. They survive coding, noise, gain and a shift in time, and say
that two files hold the same *recording*. Chroma says that two recordings are of the
same *music*, in whatever key and at whatever tempo: candidates by the magnitude of
chroma's 2-D Fourier transform (Bertin-Mahieux and Ellis, ISMIR 2012), confirmed by
recurrence quantification (Serra et al., 2009; `librosa.sequence.rqa`).
"""

import dataclasses
import types
from collections.abc import Iterator, Sequence

import numpy as np
import scipy.ndimage
from scipy.sparse import csr_array

from lsaprobe_jax import optional
from lsaprobe_jax.data import audio as audio_lib

RATE = 8000  # Hz, of all that is here
_FFT, _HOP = 512, 256
# A peak is the largest within so many frames and bins around it ...
_NEIGHBOURHOOD = (11, 21)  # bins, frames
_PEAKS_PER_SECOND = 12
# Samples whose spectrogram is in memory at once: 17 minutes; most tracks are shorter.
# Around its frames come those that a peak's surroundings need, 15 + 10 to each side.
_STRETCH, _LEVEL_MARGIN = 1 << 23, 32
# ... and is paired with the next few, no further off than this.
_FAN_OUT, _MAX_FRAMES, _MAX_BINS = 4, 63, 63
# Landmarks in more tracks than this tell none apart.
_COMMON = 200
# Landmarks of two tracks that agree in hash and in offset, as a number and as a share
# of those of the track that has fewer. See docs/datasets.md for how often that errs.
MIN_LANDMARKS, MIN_LANDMARK_SHARE = 8, 0.04

_CHROMA_FFT, _CHROMA_HOP = 4096, 1024  # 7.8 frames a second
_PATCH = 60  # frames of an embedding
_BLOCK = 2048  # rows of a product of embeddings
_CANDIDATES = 10
_STACK = 8  # frames that are compared at once
# Cosine of two embeddings, less the mean of all, and weighted length of the best common
# path as a share of the shorter track.
MIN_COSINE, MIN_COVER = 0.3, 0.7


def _librosa() -> types.ModuleType:
  # It takes a second to import, and only those who look for duplicates need it.
  return optional.require("librosa", "audio")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Fingerprint:
  """What is kept of a track.

  Attributes:
    hashes: uint32 [n], a landmark's two frequencies and their distance in time.
    frames: int32 [n], when each begins, in frames of 32 ms.
    chroma: float32 [12, m], columns of norm 1, 7.8 a second.
    embedding: float32 [12 * 60], the same for another key, of norm 1.
  """

  hashes: np.ndarray
  frames: np.ndarray
  chroma: np.ndarray
  embedding: np.ndarray


def fingerprint(audio: np.ndarray, rate: int) -> Fingerprint:
  """Takes the fingerprint of float [samples] at `rate` Hz."""
  return of_low_rate(audio_lib.resample(np.asarray(audio, np.float32), rate, RATE))


def of_low_rate(audio: np.ndarray) -> Fingerprint:
  """Takes the fingerprint of float32 [samples] at 8 kHz."""
  hashes, frames = landmarks(audio)
  chroma = chromagram(audio)
  return Fingerprint(
    hashes=hashes, frames=frames, chroma=chroma, embedding=embed(chroma)
  )


def landmarks(audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Finds landmarks of [samples] at 8 kHz: hashes uint32 [n], frames int32 [n]."""
  parts = [_peaks(*part) for part in _stretches(audio, _FFT, _HOP, _LEVEL_MARGIN)]
  bins, frames, level = (np.concatenate(column) for column in zip(*parts, strict=True))
  # By bin and then by frame, in whatever stretches they were found.
  found = np.lexsort((frames, bins))
  bins, frames, level = bins[found], frames[found], level[found]
  seconds = max(audio.size / RATE, 1.0)
  strongest = np.argsort(-level, kind="stable")
  kept = strongest[: round(_PEAKS_PER_SECOND * seconds)]
  order = kept[np.lexsort((bins[kept], frames[kept]))]
  bins, frames = bins[order].astype(np.int64), frames[order].astype(np.int64)
  hashes, begins = [], []
  for step in range(1, 4 * _FAN_OUT + 1):
    between = frames[step:] - frames[:-step]
    apart = bins[step:] - bins[:-step]
    near = (between > 0) & (between <= _MAX_FRAMES) & (np.abs(apart) <= _MAX_BINS)
    first, second = bins[:-step][near], bins[step:][near]
    hashes.append((first << 14 | second << 6 | between[near]).astype(np.uint32))
    begins.append(frames[:-step][near])
  hashes, begins = np.concatenate(hashes), np.concatenate(begins)
  order = np.lexsort((begins, hashes))
  return hashes[order], begins[order].astype(np.int32)


def _stretches(
  audio: np.ndarray, fft: int, hop: int, margin: int
) -> Iterator[tuple[np.ndarray, int, int, int]]:
  """Cuts [samples] so that a long track's spectrogram is never whole in memory.

  Yields:
    A stretch of samples with the zeros that centred frames take at the ends of the
    track, the number of its first frame, and the range of frames that are its own;
    those around them, `margin` at most, are there for their surroundings.
  """
  count = 1 + audio.size // hop
  step = _STRETCH // hop
  for own in range(0, count, step):
    last = min(own + step, count)
    first, end = max(own - margin, 0), min(last + margin, count)
    start, stop = first * hop - fft // 2, (end - 1) * hop + fft // 2
    samples = audio[max(start, 0) : max(stop, 0)]
    behind = stop - start - max(-start, 0) - samples.size
    yield np.pad(samples, (max(-start, 0), behind)), first, own, last


def _peaks(
  samples: np.ndarray, first: int, own: int, last: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Finds bins, frames and levels [n] of the peaks in a stretch's own frames."""
  librosa = _librosa()
  spectrum = librosa.stft(samples, n_fft=_FFT, hop_length=_HOP, center=False)
  level = librosa.amplitude_to_db(np.abs(spectrum)[1:257], amin=1e-5, top_db=None)
  # Against its surroundings: what a codec, an equaliser or a gain change is slow.
  level = level - scipy.ndimage.uniform_filter(level, (31, 31), mode="nearest")
  peak = (level == scipy.ndimage.maximum_filter(level, _NEIGHBOURHOOD)) & (level > 6)
  bins, frames = np.nonzero(peak)
  inside = (frames >= own - first) & (frames < last - first)
  bins, frames = bins[inside], frames[inside]
  return bins, frames + first, level[bins, frames]


def aligned(one: Fingerprint, other: Fingerprint) -> int:
  """Counts the landmarks that two tracks share at the offset that has most."""
  common = np.intersect1d(one.hashes, other.hashes)
  left = (
    np.searchsorted(one.hashes, common),
    np.searchsorted(one.hashes, common, side="right"),
  )
  right = (
    np.searchsorted(other.hashes, common),
    np.searchsorted(other.hashes, common, side="right"),
  )
  offsets = [
    np.subtract.outer(one.frames[a:b], other.frames[c:d]).ravel()
    for a, b, c, d in zip(*left, *right, strict=True)
  ]
  if not offsets:
    return 0
  values, counts = np.unique(np.concatenate(offsets), return_counts=True)
  # A shift that is no whole number of frames falls between two.
  beside = np.diff(values, append=values[-1] + 2) == 1
  return int(np.max(counts + np.where(beside, np.roll(counts, -1), 0)))


def same_recording(one: Fingerprint, other: Fingerprint) -> bool:
  """Returns whether two tracks hold the same recording, or a part of it."""
  fewer = min(len(one.hashes), len(other.hashes))
  return aligned(one, other) >= max(MIN_LANDMARKS, MIN_LANDMARK_SHARE * fewer)


def duplicates(tracks: Sequence[Fingerprint]) -> Iterator[tuple[int, int]]:
  """Finds pairs (i, j), i < j, of tracks that hold the same recording.

  Tracks are compared only where they have landmarks in common, found by a sparse
  product, 256 tracks against all at a time: memory grows with landmarks, not pairs.
  """
  unique = [np.unique(track.hashes) for track in tracks]
  if not any(map(len, unique)):
    return
  names, columns = np.unique(np.concatenate(unique), return_inverse=True)
  rows = np.repeat(np.arange(len(tracks)), list(map(len, unique)))
  often = np.bincount(columns) > _COMMON
  keep = ~often[columns]
  shape = (len(tracks), len(names))
  ones = np.ones(int(keep.sum()), np.int32)
  table = csr_array((ones, (rows[keep], columns[keep])), shape=shape)
  for start in range(0, len(tracks), 256):
    common = (table[start : start + 256] @ table.T).tocoo()
    enough = common.data >= MIN_LANDMARKS // 2
    pairs = zip(common.row[enough] + start, common.col[enough], strict=True)
    for i, j in sorted((int(i), int(j)) for i, j in pairs if i < j):
      if same_recording(tracks[i], tracks[j]):
        yield i, j


def chromagram(audio: np.ndarray) -> np.ndarray:
  """Returns chroma [12, m] of [samples] at 8 kHz: smoothed, columns of norm 1."""
  librosa = _librosa()
  if audio.size < _CHROMA_FFT:
    audio = np.pad(audio, (0, _CHROMA_FFT - audio.size))
  chroma = np.concatenate(
    [
      librosa.feature.chroma_stft(
        y=samples,
        sr=RATE,
        n_fft=_CHROMA_FFT,
        hop_length=_CHROMA_HOP,
        norm=None,
        tuning=0.0,
        center=False,
      )
      for samples, *_ in _stretches(audio, _CHROMA_FFT, _CHROMA_HOP, margin=0)
    ],
    axis=1,
  )
  chroma = scipy.ndimage.median_filter(np.sqrt(chroma), (1, 5))
  return librosa.util.normalize(chroma, norm=2, fill=True).astype(np.float32)


def embed(chroma: np.ndarray) -> np.ndarray:
  """Embeds chroma [12, m] as float32 [12 * 60]: no key, no position, norm 1."""
  short = max(_PATCH - chroma.shape[1], 0)
  chroma = np.pad(chroma, ((0, 0), (0, short)), mode="wrap" if short else "edge")
  starts = range(0, chroma.shape[1] - _PATCH + 1, _PATCH // 2)
  patches = [np.abs(np.fft.fft2(chroma[:, at : at + _PATCH])) for at in starts]
  middle = np.median(patches, axis=0)
  middle[0, 0] = 0  # the mean says nothing
  flat = np.power(middle, 0.5).ravel()
  return (flat / max(np.linalg.norm(flat), 1e-9)).astype(np.float32)


def covers(tracks: Sequence[Fingerprint]) -> Iterator[tuple[int, int]]:
  """Finds pairs (i, j), i < j, of tracks that seem versions of the same music.

  Each track is compared with the ten whose embeddings are nearest to its own, where
  they are near.
  """
  if not tracks:
    return
  table = np.stack([track.embedding for track in tracks])
  # The mean of two or three tracks would be most of what there is.
  if len(tracks) >= 2 * _CANDIDATES:
    table = table - table.mean(axis=0)
    table /= np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-9)
  seen = set()
  for start in range(0, len(tracks), _BLOCK):
    near = table[start : start + _BLOCK] @ table.T
    near[np.arange(len(near)), start + np.arange(len(near))] = -np.inf
    most = min(_CANDIDATES, len(tracks) - 1)
    for row, found in enumerate(np.argsort(-near, axis=1, kind="stable")[:, :most]):
      found = [int(j) for j in found if near[row, j] >= MIN_COSINE]
      seen |= {(min(start + row, j), max(start + row, j)) for j in found}
  for i, j in sorted(seen):
    if likeness(tracks[i].chroma, tracks[j].chroma) >= MIN_COVER:
      yield i, j


def likeness(one: np.ndarray, other: np.ndarray) -> float:
  """Measures how far two chromagrams [12, m], [12, n] run along each other.

  The weighted length of the best common path (Qmax), as a share of the shorter.
  """
  shortest = min(one.shape[1], other.shape[1])
  if shortest < 2 * _STACK:
    return 0.0
  profile = np.fft.rfft(one.mean(axis=1)), np.fft.rfft(other.mean(axis=1))
  fit = np.fft.irfft(profile[0] * np.conj(profile[1]), 12)
  best = 0.0
  for shift in np.argsort(-fit, kind="stable")[:2]:
    best = max(best, _qmax(one, np.roll(other, int(shift), axis=0)))
  return best / shortest


def _qmax(one: np.ndarray, other: np.ndarray) -> float:
  """Returns the weighted length of the best common path of [12, m] and [12, n]."""
  librosa = _librosa()
  stacked = [librosa.feature.stack_memory(x, n_steps=_STACK) for x in (one, other)]
  neighbours = max(2, round(0.1 * min(one.shape[1], other.shape[1])))
  recurrence = librosa.segment.cross_similarity(
    *stacked, k=neighbours, metric="cosine", mode="connectivity"
  )
  score = librosa.sequence.rqa(
    recurrence.astype(np.float32), gap_onset=2, gap_extend=1, backtrack=False
  )
  return float(np.max(score))
