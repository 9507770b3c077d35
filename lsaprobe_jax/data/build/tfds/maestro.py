"""MAESTRO v3.0.0 (Hawthorne et al. 2019): 200 hours of piano competitions."""

import csv
import pathlib
import re

from lsaprobe_jax.data.border import AudioError
from lsaprobe_jax.data.build.tfds import building, originals, planning
from lsaprobe_jax.text import first_line, printable, slug

URL = (
  "https://storage.googleapis.com/magentadata/datasets/maestro/v3.0.0/"
  "maestro-v3.0.0.zip"
)
CSV = "maestro-v3.0.0.csv"
# Numbers by which catalogues name a work: Op. 39, K. 457, BWV 885, D 899, Hob. XVI:48.
_CATALOGUE = re.compile(
  r"\b(op(?:us)?|bwv|woo|hob|kv|k|d|l|s)[.\s]*([ivx]+[:/]\s*\d+|\d+)", re.IGNORECASE
)
# The competitor's number in the audio's half of a name, else in the MIDI's half.
_PERFORMER = (
  re.compile(r"AUDIO(?:-from_mp3)?_(\d+)_R\d"),
  re.compile(r"PIANO(\d+)_MID"),
  re.compile(r"_(\d+)_R\d_\d{4}_"),
)


def work(composer: str, title: str) -> str:
  """Returns one name for what titles call `Sonata No. 9`, `Sonata No. 9, Op. 68`.

  Composer and catalogue number where there is one: a whole opus is one work, since
  titles list several of its pieces at once. Otherwise composer and title.
  """
  found = _CATALOGUE.search(title)
  name = title
  if found:
    kind = found[1].lower()
    name = f"{ {'opus': 'op', 'kv': 'k'}.get(kind, kind) } {found[2]}"
  return slug(f"{composer} {name}".lower())


def performer(year: str, filename: str) -> str:
  """Returns year and number of the competitor, else year and session."""
  stem = pathlib.PurePosixPath(filename).stem
  for pattern in _PERFORMER:
    if found := pattern.search(stem):
      return f"{year}-{int(found[1]):03d}"
  return f"{year}-{slug(stem.split('--')[0])}"


class MaestroV3(building.MusicBuilder):
  """MAESTRO, split by work and performer; the strata are the years."""

  DATASET = "MAESTRO v3.0.0"
  LICENCE_NOTE = "CC BY-NC-SA 4.0"
  BUILDER_CONFIGS = (building.MusicConfig.named(),)
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
    f"Unpack {URL} so that manual_dir/maestro-v3.0.0/{CSV} (or manual_dir/{CSV})"
    " exists."
  )

  def root(self, dl_manager) -> pathlib.Path:
    """Finds the originals; see `MusicBuilder`."""
    return originals.find_root(
      dl_manager, {CSV: URL}, ("maestro-v3.0.0", "."), self.MANUAL_DOWNLOAD_INSTRUCTIONS
    )

  def sources(self, root: pathlib.Path):
    """Lists the performances; see `MusicBuilder`."""
    path = root / CSV
    try:
      with path.open(encoding="utf-8", newline="") as file:
        listed = [self._source(row) for row in csv.DictReader(file)]
    # A row may lack anything, and the file be of anything.
    except Exception as error:
      raise AudioError(
        f"{printable(path)}: damaged ({type(error).__name__}: {first_line(error)});"
        " download it again"
      ) from error
    if not listed:
      raise AudioError(f"{printable(path)}: damaged (no row in it); download it again")
    return listed, []

  @staticmethod
  def _source(row: dict[str, str]) -> planning.Source:
    composer, title = row["canonical_composer"], row["canonical_title"]
    return planning.Source(
      track=slug(row["audio_filename"].removesuffix(".wav")),
      path=row["audio_filename"],
      title=title,
      author=composer,
      licence="CC-BY-NC-SA-4.0",
      work=work(composer, title),
      performer=performer(row["year"], row["audio_filename"]),
      stratum=row["year"],
    )
