"""Builds records of a data set: plan, cut, write, list.

Two passes over the files. The first says what is written in which group (`planning`).
The second cuts segments and writes them as records, a file at a time. No pass holds
more audio than a few files.
"""

import abc
import dataclasses
import hashlib
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from lsaprobe_jax.data import audio, border, manifest, preparation, records
from lsaprobe_jax.data.build import entries
from lsaprobe_jax.data.build.tfds import planning


@dataclasses.dataclass(eq=False)
class MusicConfig(tfds.core.BuilderConfig):
  """What is built of a dataset.

  Attributes:
    sample_rate: of the records, Hz.
    segment_seconds: length of a record.
    segments_per_track: at most so many, spread over the track; None takes all of it.
    workers: processes that decode; the result does not depend on it.
    subset: of a dataset that has some.
  """

  sample_rate: int = 22050
  segment_seconds: float = 4.0
  segments_per_track: int | None = None
  workers: int = 1
  subset: str = ""

  @classmethod
  def named(cls, prefix: str = "", **settings: Any) -> "MusicConfig":
    """Makes a configuration whose name, and so whose folder, tells its settings."""
    config = cls(name="-", **settings)
    most = config.segments_per_track
    parts = [
      *([prefix] if prefix else []),
      f"{config.sample_rate}hz",
      f"{config.segment_seconds:g}s",
      "all" if most is None else f"{most}_a_track",
    ]
    config.name = "-".join(parts)
    return config


class MusicBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):
  """A dataset of music in the groups of a corpus, which are its splits.

  Subclasses say where the files are and what the metadata tell of each.
  """

  VERSION = tfds.core.Version("1.0.0")
  DATASET: str  # name and version of the original
  LICENCE_NOTE: str

  @abc.abstractmethod
  def sources(
    self, root: pathlib.Path
  ) -> tuple[list[planning.Source], list[tuple[str, str]]]:
    """Lists what the metadata name, and (path, reason) for what is known as broken.

    Raises:
      AudioError: the metadata are missing or damaged.
    """

  @abc.abstractmethod
  def root(self, dl_manager) -> pathlib.Path:
    """Finds the folder of the original: the manual one, else the official download.

    Raises:
      AudioError: neither is to be had; says what to put where.
    """

  def _info(self) -> tfds.core.DatasetInfo:
    config = self.builder_config
    samples = round(config.segment_seconds * config.sample_rate)
    text = tfds.features.Text()
    features = {
      # tfds.features.Audio imports TensorFlow; numbers do not.
      "audio": tfds.features.Tensor(shape=(samples,), dtype=np.int16),
      "track": text,
      "start_seconds": tfds.features.Scalar(dtype=np.float64),
      "title": text,
      "author": text,
      "licence": text,
      "work": text,
      "sha256": text,
    }
    return tfds.core.DatasetInfo(
      builder=self,
      description=f"{self.DATASET}, cut into segments, for membership audits.",
      features=tfds.features.FeaturesDict(features),
      disable_shuffling=True,
      license=self.LICENCE_NOTE,
    )

  def _shard_iterators_per_split(self, dl_manager):
    root = self.root(dl_manager)
    sources, left_out = self.sources(root)
    plan = planning.make_plan(root, sources, left_out, self.builder_config.workers)
    self._written = Written(plan=plan)
    return {
      group: [
        self._shard(root, shard, group)
        for shard in planning.shards(plan.by_group[group], plan)
      ]
      for group in manifest.GROUPS
      if plan.by_group[group]
    }

  def _shard(self, root, sources, group) -> Callable[[], Iterator[tuple[str, dict]]]:
    """Returns what makes the records of a shard, when it is its turn."""

    def generate():
      config = self.builder_config
      jobs = [(root, source, config) for source in sources]
      for source, cut in zip(
        sources, planning.ordered_map(_cut, jobs, config.workers), strict=True
      ):
        yield from self._written.add(source, group, cut, config.segment_seconds)

    return generate

  def _download_and_prepare(self, dl_manager, download_config=None) -> None:
    super()._download_and_prepare(dl_manager, download_config)
    # The folder is a temporary one still: it appears whole or not at all.
    manifest.write(self.data_path, self._written.manifest(self))


def build(
  builder_class: type[MusicBuilder], config: MusicConfig, originals, output
) -> pathlib.Path:
  """Builds a data set, or finds it built.

  Args:
    builder_class: `maestro.MaestroV3` or `fma.Fma`.
    config: what of it.
    originals: folder with the original, unpacked; downloads go there too.
    output: data folder of tensorflow-datasets.

  Returns:
    The folder to open as a corpus.

  Raises:
    AudioError: the original is not there, cannot be downloaded or is damaged.
  """
  for known in builder_class.BUILDER_CONFIGS:
    if known.name == config.name:  # tensorflow-datasets wants its own then
      known.workers, config = config.workers, known
  builder = builder_class(config=config, data_dir=output, file_format="array_record")
  settings = tfds.download.DownloadConfig(manual_dir=originals)
  builder.download_and_prepare(download_dir=originals, download_config=settings)
  return pathlib.Path(builder.data_path)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Cut:
  """Segments of a file as int16 [n, samples], and the file's own hash."""

  starts: list[float]
  audio: np.ndarray
  sha256: str
  errors: list[str]


def _cut(job: tuple[pathlib.Path, planning.Source, MusicConfig]) -> _Cut:
  """Cuts one file; what cannot be used is a message."""
  root, source, config = job
  path = root / source.path
  segments, errors, sha256 = [], [], ""
  try:
    with border.border(path):
      sha256 = manifest.sha256(path)
      segments, errors = preparation.prepare(
        path,
        sample_rate=config.sample_rate,
        segment_seconds=config.segment_seconds,
        max_segments=config.segments_per_track,
      )
  except audio.AudioError as error:
    errors = [str(error)]
  length = round(config.segment_seconds * config.sample_rate)
  samples = [records.to_int16(segment) for _, segment in segments]
  return _Cut(
    starts=[start for start, _ in segments],
    audio=np.stack(samples) if samples else np.zeros((0, length), np.int16),
    sha256=sha256,
    errors=errors,
  )


@dataclasses.dataclass(kw_only=True)
class Written:
  """What has been written so far, for the manifest."""

  plan: planning.Plan
  tracks: list[manifest.Track] = dataclasses.field(default_factory=list)
  errors: list[tuple[str, str]] = dataclasses.field(default_factory=list)

  def add(
    self, source: planning.Source, group: str, cut: _Cut, seconds: float
  ) -> Iterator[tuple[str, dict]]:
    """Yields the records of a file; what they hold goes on the list.

    Args:
      source: the recording.
      group: that it is in.
      cut: its segments.
      seconds: length of a segment.
    """
    self.errors += [(source.path, message) for message in cut.errors]
    hashes = [
      hashlib.sha256(records.to_float(samples).tobytes()).hexdigest()
      for samples in cut.audio
    ]
    work = self.plan.works[source.track]
    for start, samples, sha256 in zip(cut.starts, cut.audio, hashes, strict=True):
      yield (
        f"{source.track}@{start:.3f}",
        {
          "audio": samples,
          "track": source.track,
          "start_seconds": start,
          "title": source.title,
          "author": source.author,
          "licence": source.licence,
          "work": work,
          "sha256": sha256,
        },
      )
    if hashes:
      written = entries.entry(
        source,
        package=source.performer,
        duplicates=work,
        group=group,
        file=source.path,
        sha256=cut.sha256,
        segments=(
          manifest.Segment(start_seconds=start, seconds=seconds, sha256=sha256)
          for start, sha256 in zip(cut.starts, hashes, strict=True)
        ),
        changes="cut, mixed to mono, resampled, loudness set, 16 bit",
      )
      self.tracks.append(written)

  def manifest(self, builder: MusicBuilder) -> manifest.Manifest:
    """Returns the manifest of a builder that has written everything."""
    config = builder.builder_config
    tools = ("librosa", "pyloudnorm", "soxr", "tensorflow-datasets", "array-record")
    return manifest.Manifest(
      corpus=f"{builder.name}-{config.name}",
      sample_rate=config.sample_rate,
      segment_seconds=config.segment_seconds,
      recipe={
        "dataset": builder.DATASET,
        "segments_per_track": config.segments_per_track,
        "versions": entries.versions(*tools),
        "left_out": [list(pair) for pair in (*self.plan.left_out, *self.errors)],
      },
      tracks=tuple(self.tracks),
    )
