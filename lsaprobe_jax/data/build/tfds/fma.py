"""FMA (Defferrard et al. 2017): 30 s excerpts from the Free Music Archive."""

import csv
import pathlib

from lsaprobe_jax.data.border import AudioError
from lsaprobe_jax.data.build.tfds import building, originals, planning
from lsaprobe_jax.text import first_line, printable

URL = "https://os.unil.cloud.switch.ch/fma/"
# Without audio or far shorter than 30 s: mdeff/fma issues 8 and 44, and lists in use.
# Others that turn out broken are found by decoding.
BROKEN = frozenset(
  (
    *(1486, 5574, 65753, 80391, 98558, 98559, 98560, 98565, 98566, 98567, 98568),
    *(98569, 98571, 99134, 105247, 108924, 108925, 126981, 127336, 133297, 143992),
  )
)
_SUBSETS = {"small": ("small",), "large": ("small", "medium", "large")}
_COLUMNS = {
  "subset": ("set", "subset"),
  "artist": ("artist", "id"),
  "author": ("artist", "name"),
  "title": ("track", "title"),
  "genre": ("track", "genre_top"),
  "licence": ("track", "license"),
}


class Fma(building.MusicBuilder):
  """FMA, split by artist and track; the strata are the top genres."""

  DATASET = "FMA"
  LICENCE_NOTE = "Each track under its own Creative Commons licence."
  BUILDER_CONFIGS = tuple(
    building.MusicConfig.named(subset, subset=subset) for subset in ("large", "small")
  )
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
    f"Unpack {URL}fma_metadata.zip and fma_large.zip (or fma_small.zip) with 7zip so "
    "that manual_dir/fma_metadata/tracks.csv and manual_dir/fma_large/000/ exist."
  )

  def root(self, dl_manager) -> pathlib.Path:
    """Finds the originals; see `MusicBuilder`."""
    folder = f"fma_{self.builder_config.subset}"
    wanted = {
      "fma_metadata/tracks.csv": f"{URL}fma_metadata.zip",
      folder: f"{URL}{folder}.zip",
    }
    instructions = self.MANUAL_DOWNLOAD_INSTRUCTIONS
    return originals.find_root(dl_manager, wanted, (".",), instructions)

  def sources(self, root: pathlib.Path):
    """Lists the tracks; see `MusicBuilder`."""
    path = root / "fma_metadata" / "tracks.csv"
    try:
      with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        header = list(zip(next(rows), next(rows), strict=True))
        next(rows)  # 'track_id', and nothing else
        column = {name: header.index(pair) for name, pair in _COLUMNS.items()}
        listed = [
          (int(row[0]), {name: row[i] for name, i in column.items()}) for row in rows
        ]
    # A row may lack anything, and the file be of anything.
    except Exception as error:
      raise AudioError(
        f"{printable(path)}: damaged ({type(error).__name__}: {first_line(error)});"
        " download it again"
      ) from error
    subset = self.builder_config.subset
    kept, left_out = [], []
    for number, row in listed:
      if row["subset"] in _SUBSETS[subset]:
        source = self._source(number, row, subset)
        if number in BROKEN:
          left_out.append((source.path, f"{source.path}: known to be broken"))
        else:
          kept.append(source)
    return kept, left_out

  @staticmethod
  def _source(number: int, row: dict[str, str], subset: str) -> planning.Source:
    name = f"{number:06d}"
    return planning.Source(
      track=name,
      path=f"fma_{subset}/{name[:3]}/{name}.mp3",
      title=row["title"],
      author=row["author"],
      licence=row["licence"],
      work=name,
      performer=row["artist"],
      stratum=row["genre"],
    )
