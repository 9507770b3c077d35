"""Clips of equal length, cut from the segments of tracks or of records."""

import collections
import hashlib
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np

from lsaprobe_jax.data import audio as audio_lib
from lsaprobe_jax.data import manifest as manifest_lib
from lsaprobe_jax.data import records as records_lib
from lsaprobe_jax.data.border import AudioError
from lsaprobe_jax.data.clips import Clip, Corpus
from lsaprobe_jax.data.pieces import Piece, Wanted, check_manifest, one_channel
from lsaprobe_jax.text import printable


def from_pieces(
  name: str, pieces: Iterable[Piece], wanted: Wanted, errors: list[tuple[str, str]]
) -> Corpus:
  """Cuts the segments of tracks into clips, all of which are in memory.

  Args:
    name: of the corpus.
    pieces: tracks; each is read when it is its turn.
    wanted: rate, length and number of the clips.
    errors: what cannot be used is added here.
  """
  clips, windows = [], []
  for piece in pieces:
    cut = _cut(piece, wanted, errors)
    for clip, window in cut[: wanted.clips_per_track]:
      clips.append(clip)
      # A window is a view, which would keep its whole track in memory.
      part = window.base is not None and window.base.size > window.size
      windows.append(window.copy() if part else window)
  audio = np.empty((len(windows), *wanted.shape), np.float32)
  for i, window in enumerate(windows):
    # Long clips are let go as they are copied, so that they are not there twice.
    audio[i], windows[i] = window, None
  return Corpus(
    name=name,
    sample_rate=wanted.sample_rate,
    clip_seconds=wanted.clip_seconds,
    clips=tuple(clips),
    audio=audio,
    errors=tuple(errors),
  )


def from_records(path: pathlib.Path, wanted: Wanted) -> Corpus:
  """Lists the clips in records: the first of every segment, then the second, ...

  A clip that is a whole record as it stands needs no reading, since its hash is in the
  manifest. Others are read once, one at a time, to be hashed. Records have one channel,
  which stands for both where two are wanted.

  Args:
    path: the folder of records.
    wanted: rate, length, number and groups of the clips.

  Raises:
    AudioError: the manifest is damaged or has no such clip, or a record cannot be read.
  """
  manifest = manifest_lib.read(path)
  check_manifest(path, manifest, wanted)
  records = records_lib.Records(path, manifest)
  rate, length = wanted.sample_rate, wanted.samples
  whole = round(manifest.segment_seconds * rate)
  as_stored = (rate, length, wanted.channels) == (manifest.sample_rate, whole, 1)
  clips, places, seen = [], [], collections.Counter()
  for track in manifest.tracks:
    first, count = seen[track.group], len(track.segments)
    seen[track.group] += count
    if track.group not in wanted.groups:
      continue
    most = min(whole // length * count, wanted.clips_per_track or whole * count)
    for index in range(most):
      window, k = divmod(index, count)
      segment, start = track.segments[k], window * length
      sha256 = segment.sha256
      if not as_stored:
        samples = records.read(track.group, first + k)
        samples = audio_lib.resample(samples, manifest.sample_rate, rate)
        samples = records_lib.spread(samples[start : start + length], wanted.channels)
        sha256 = _sha256(samples)
      seconds = segment.start_seconds + start / rate
      clips.append(_clip(track, track.path, seconds, wanted.clip_seconds, sha256))
      places.append((track.group, first + k, start))
  if not clips:
    raise AudioError(f"{printable(path)}: {wanted.nothing()}")
  left_out = [*manifest.recipe.get("left_out", ())]
  if wanted.channels > 1:
    left_out.append(one_channel(path))
  return Corpus(
    name=manifest.corpus,
    sample_rate=rate,
    clip_seconds=wanted.clip_seconds,
    clips=tuple(clips),
    audio=_audio(records, places, wanted),
    errors=tuple(tuple(map(printable, pair)) for pair in left_out),
  )


def _audio(
  records: records_lib.Records, places: Sequence[tuple[str, int, int]], wanted: Wanted
) -> records_lib.RecordAudio:
  """Returns what reads clips at some (group, position, first sample)."""
  groups, positions, starts = zip(*places, strict=True)
  return records_lib.RecordAudio(
    records=records,
    groups=np.array(groups),
    positions=np.array(positions),
    starts=np.array(starts),
    sample_rate=wanted.sample_rate,
    samples=wanted.samples,
    channels=wanted.channels,
  )


def _cut(
  piece: Piece, wanted: Wanted, errors: list[tuple[str, str]]
) -> list[tuple[Clip, np.ndarray]]:
  """Returns windows of a track: the first of every segment, then the second, ...

  A window has channels first, as clips do, where segments have time first.
  """
  cut, length = [], wanted.samples
  most = max((len(samples) // length for _, samples in piece.segments), default=0)
  for index in range(most):
    for start, samples in piece.segments:
      window = samples[index * length : (index + 1) * length]
      if len(window) < length:
        continue
      seconds = start + index * length / wanted.sample_rate
      own = length / wanted.sample_rate
      clip = _clip(piece, piece.source, seconds, own, _sha256(window.T))
      try:
        audio_lib.check(window, clip.id, min_samples=length)
      except AudioError as error:
        errors.append((clip.id, str(error)))
        continue
      cut.append((clip, window.T))
  return cut


def _clip(
  track: Piece | manifest_lib.Track,
  source: str,
  seconds: float,
  length: float,
  sha256: str,
) -> Clip:
  """Returns the clip of `length` seconds that begins at `seconds` of a track."""
  return Clip(
    id=f"{track.id}@{round(1000 * seconds):07d}+{round(1000 * length)}",
    track=track.id,
    group=track.group,
    source=source,
    title=track.title,
    author=track.author,
    licence=track.licence,
    start_seconds=seconds,
    sha256=sha256,
  )


def _sha256(samples: np.ndarray) -> str:
  return hashlib.sha256(samples.astype("<f4").tobytes()).hexdigest()
