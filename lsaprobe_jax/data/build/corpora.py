"""Builds a corpus by its name: from public packages, or from MAESTRO and FMA."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable

from lsaprobe_jax import optional
from lsaprobe_jax.data.build import recipes
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.data.corpus import open_corpus
from lsaprobe_jax.errors import ArgumentError

DATASETS = ("maestro_v3", "fma_small", "fma_large")
NAMES = (*recipes.CORPORA, *DATASETS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Built:
  """A corpus that was built.

  Attributes:
    folder: where it lies, to be opened as a corpus.
    corpus: its segments, opened.
    left_out: one line for each track or segment that a recipe left out; a data set's
      are among the errors of `corpus`.
  """

  folder: pathlib.Path
  corpus: Corpus
  left_out: tuple[str, ...] = ()


def build_corpus(
  corpus: str,
  output: str | os.PathLike,
  *,
  downloads: str | os.PathLike = "downloads",
  shipped: bool = False,
  sample_rate: int = 16000,
  segment_seconds: float = 4.0,
  segments_per_track: int | None = 2,
  extended: bool = False,
  chorales: bool = False,
  workers: int = 1,
  progress: Callable[[Iterable], Iterable] = iter,
) -> Built:
  """Builds a corpus and opens it.

  Args:
    corpus: one of `NAMES`.
    output: the folder to build in.
    downloads: the folder with packages, or with the originals of a data set; what is
      missing there is fetched.
    shipped: build exactly what is embedded in this package, whatever the settings of
      rate and segments.
    sample_rate: Hz.
    segment_seconds: length of an excerpt.
    segments_per_track: how many of a track, spread over it; None takes all of it.
    extended: multigenre with the packages outside the core six.
    chorales: piano with the chorales of music21, which are not to be passed on.
    workers: processes that decode a data set; the result does not depend on it.
    progress: wraps the loop over the tracks of a recipe, as tqdm does.

  Raises:
    ArgumentError: there is no such corpus, or settings do not go together.
    AudioError: no track is left, or an original is missing or damaged.
    FetchError: a package or a tool cannot be had.
    MissingPackageError: a package of an extra is not installed.
  """
  kinds = {"shipped": shipped, "extended": extended, "chorales": chorales}
  common = {
    "sample_rate": sample_rate,
    "segment_seconds": segment_seconds,
    "segments_per_track": segments_per_track,
  }
  if corpus in DATASETS:
    if any(kinds.values()):
      raise ArgumentError(f"corpus={corpus}: goes with none of {', '.join(kinds)}")
    folder = _build_dataset(corpus, output, downloads, workers=workers, **common)
    wanted, left_out = common, []
  else:
    recipe = recipes.Recipe(corpus=corpus, **kinds, **common)
    if shipped:
      recipe = recipes.shipped(corpus)
    _, left_out = recipes.build(recipe, output, downloads, progress=progress)
    folder, wanted = pathlib.Path(output), vars(recipe)
  opened = open_corpus(
    folder,
    sample_rate=wanted["sample_rate"],
    clip_seconds=wanted["segment_seconds"],
  )
  return Built(folder=folder, corpus=opened, left_out=tuple(left_out))


def _build_dataset(corpus: str, output, downloads, **settings) -> pathlib.Path:
  """Builds MAESTRO or FMA, and returns the folder of its records."""
  for module in ("tensorflow_datasets", "array_record"):
    optional.require(module, "datasets")
  # Their classes derive from tensorflow-datasets': not before it is known to be there.
  from lsaprobe_jax.data.build.tfds import building, fma, maestro

  name, _, subset = corpus.partition("_")
  if name == "fma":
    config = building.MusicConfig.named(subset, subset=subset, **settings)
    return building.build(fma.Fma, config, downloads, output)
  config = building.MusicConfig.named(**settings)
  return building.build(maestro.MaestroV3, config, downloads, output)
