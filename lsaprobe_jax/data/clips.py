"""Clips of equal length with stable ids, in groups by track, and their audio."""

import collections
import dataclasses
import hashlib
from collections.abc import Iterable

import numpy as np

from lsaprobe_jax.data.records import RecordAudio
from lsaprobe_jax.data.splits import check_groups
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.text import printable, short


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clip:
  """Where a clip comes from.

  Attributes:
    id: `<track>@<start in ms>+<length in ms>`, unique and safe as a file name.
    track: id of the recording or piece; clips of a track are not independent.
    group: `a`, `b`, `dev` or `reference` (`splits`).
    source: package, or file.
    title: untrusted text, like `author`.
    author: composer, performer, arranger; empty if not known.
    licence: empty if not known.
    start_seconds: in the source.
    sha256: of the float32 little-endian samples, one channel after the other.
  """

  id: str
  track: str
  group: str
  source: str
  title: str
  author: str
  licence: str
  start_seconds: float
  sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Corpus:
  """Clips and their audio.

  Attributes:
    name: of the corpus.
    sample_rate: Hz.
    clip_seconds: length of every clip.
    clips: by track, and within a track so that its first few are spread over it.
    audio: float32 [n_clips, samples], or [n_clips, 2, samples] in stereo, in the order
      of `clips`; of a corpus of records one that reads a row when it is indexed.
    errors: (file or clip, one-line message) for what could not be used.
  """

  name: str
  sample_rate: int
  clip_seconds: float
  clips: tuple[Clip, ...]
  audio: np.ndarray | RecordAudio
  errors: tuple[tuple[str, str], ...] = ()

  def __len__(self) -> int:
    return len(self.clips)

  def __repr__(self) -> str:
    count = collections.Counter(clip.group for clip in self.clips)
    groups = ", ".join(f"{group} {number}" for group, number in sorted(count.items()))
    return (
      f"<Corpus {printable(self.name)}: {len(self)} clips of {self.clip_seconds:g} s at"
      f" {self.sample_rate} Hz{', stereo,' if self.channels == 2 else ''} from"
      f" {len(self.tracks)} tracks"
      f"{f' ({groups})' if groups else ''}>"
    )

  @property
  def channels(self) -> int:
    """Channels of every clip, 1 or 2."""
    return 1 if self.audio.ndim == 2 else self.audio.shape[1]

  @property
  def tracks(self) -> tuple[str, ...]:
    """Track ids in order, each once."""
    return tuple(dict.fromkeys(clip.track for clip in self.clips))

  def group(self, name: str) -> "Corpus":
    """Returns the clips of one group; ArgumentError where there is no such group."""
    return self.select((name,))

  def select(self, groups: Iterable[str] | str) -> "Corpus":
    """Returns the clips of some groups, or of one named by a plain string.

    Raises:
      ArgumentError: one is not a group.
    """
    wanted = check_groups(groups)
    return self.take(i for i, clip in enumerate(self.clips) if clip.group in wanted)

  def per_track(self, count: int) -> "Corpus":
    """Returns the first `count` clips of every track."""
    seen, kept = collections.Counter(), []
    for i, clip in enumerate(self.clips):
      seen[clip.track] += 1
      if seen[clip.track] <= count:
        kept.append(i)
    return self.take(kept)

  def head(self, seconds: float) -> "Corpus":
    """Returns the first seconds of every clip, under the clips' own ids and hashes.

    Raises:
      ArgumentError: longer than the clips, or shorter than a sample.
    """
    most = self.audio.shape[-1]
    length = round(min(seconds * self.sample_rate, most + 1))
    if not 0 < length <= most:
      raise ArgumentError(
        f"seconds={short(seconds)}: no first part of clips of {self.clip_seconds:g} s"
      )
    if isinstance(self.audio, RecordAudio):
      audio = self.audio.head(length)
    else:
      audio = self.audio[..., :length]
    return dataclasses.replace(self, clip_seconds=seconds, audio=audio)

  def fingerprint(self) -> str:
    """Returns a SHA-256 over ids, groups and clip hashes, equal only for equal data."""
    digest = hashlib.sha256()
    for clip in self.clips:
      digest.update(f"{clip.id}\n{clip.group}\n{clip.sha256}\n".encode())
    return digest.hexdigest()

  def take(self, indices: Iterable[int]) -> "Corpus":
    """Returns the clips at some indices, in their order."""
    indices = list(indices)
    return dataclasses.replace(
      self,
      clips=tuple(self.clips[i] for i in indices),
      audio=self.audio.take(np.asarray(indices, dtype=np.intp), axis=0),
    )
