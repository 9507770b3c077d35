"""Plans what is written of a data set, and where: analyse, join, group, split.

The first pass over the files. Each is decoded, what is broken is left out and a
fingerprint of the rest is kept; works and performers are grouped, and the groups split.
No more than a few files' audio is held at a time.
"""

import collections
import concurrent.futures
import dataclasses
import itertools
import multiprocessing
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence

from absl import logging

from lsaprobe_jax.data import audio, border, fingerprints, manifest
from lsaprobe_jax.data.build import entries, grouping

_SHARD_SECONDS = 3 * 3600.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source(entries.Source):
  """A recording of an original data set, from its metadata.

  Attributes:
    work: what is played, as far as the metadata say.
    performer: who plays.
    stratum: groups get the same share of each.
  """

  work: str
  performer: str
  stratum: str


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
  """Which recordings are written, in which group.

  Attributes:
    by_group: recordings of each group, by track.
    seconds: of each recording, by track.
    works: what each belongs to, versions found in the audio joined, by track.
    left_out: (path, reason).
  """

  by_group: dict[str, list[Source]]
  seconds: dict[str, float]
  works: dict[str, str]
  left_out: list[tuple[str, str]]


def make_plan(
  root: pathlib.Path,
  sources: Sequence[Source],
  left_out: Sequence[tuple[str, str]],
  workers: int = 1,
) -> Plan:
  """Analyses all files, joins versions of the same music, and splits.

  Args:
    root: folder of the dataset.
    sources: what the metadata list.
    left_out: what is left out already.
    workers: processes.

  Raises:
    AudioError: no file can be used.
  """
  sources = sorted(sources, key=lambda source: source.track)
  left_out, usable, prints, seconds = list(left_out), [], [], {}
  jobs = [root / source.path for source in sources]
  for source, found in zip(sources, ordered_map(_analyse, jobs, workers), strict=True):
    if isinstance(found, str):
      left_out.append((source.path, found))
    else:
      usable.append(source)
      seconds[source.track], one = found
      prints.append(one)
  if not usable:
    first = f"; the first: {left_out[0][1]}" if left_out else ""
    raise audio.AudioError(f"{root}: none of {len(sources)} files can be used{first}")
  pairs = [*fingerprints.duplicates(prints), *fingerprints.covers(prints)]
  logging.info("%d pairs of tracks hold the same music", len(pairs))
  works = _works(usable, pairs)
  groups = _groups(usable, works, seconds)
  by_group = collections.defaultdict(list)
  for source in usable:
    if groups[source.track] is None:
      reason = "its work and its performer stand in different groups"
      left_out.append((source.path, f"{source.path}: {reason}"))
    else:
      by_group[groups[source.track]].append(source)
  return Plan(
    by_group={group: by_group[group] for group in manifest.GROUPS},
    seconds=seconds,
    works=works,
    left_out=left_out,
  )


def _groups(
  sources: Sequence[Source], works: dict[str, str], seconds: dict[str, float]
) -> dict[str, str | None]:
  """Returns the group of each track; None for those that are left out."""
  return grouping.assign(
    [
      grouping.Recording(
        track=source.track,
        work=works[source.track],
        performer=source.performer,
        stratum=source.stratum,
        seconds=seconds[source.track],
      )
      for source in sources
    ]
  )


def _works(sources: Sequence[Source], pairs) -> dict[str, str]:
  """Returns the work of each track, those joined of which two tracks are a pair."""
  names = sorted({source.work for source in sources})
  joined = grouping.merge(names, ((sources[i].work, sources[j].work) for i, j in pairs))
  return {source.track: joined[source.work] for source in sources}


def _analyse(path: pathlib.Path) -> str | tuple[float, fingerprints.Fingerprint]:
  """Returns the seconds and the fingerprint of a file, or why there are none."""
  try:
    with border.border(path):
      samples, rate = audio.decode(path)
      audio.check(samples, path)
      return len(samples) / rate, fingerprints.fingerprint(samples, rate)
  except audio.AudioError as error:
    return str(error)


def shards(sources: Sequence[Source], plan: Plan) -> list[list[Source]]:
  """Cuts the recordings of a group into runs of about three hours."""
  runs, filled = [], _SHARD_SECONDS
  for source in sources:
    if filled >= _SHARD_SECONDS:
      runs.append([])
      filled = 0.0
    runs[-1].append(source)
    filled += plan.seconds[source.track]
  return runs


def ordered_map(function: Callable, jobs: Iterable, workers: int) -> Iterator:
  """Maps by several processes, in order, at most twice as many results ahead."""
  if workers == 1:
    yield from map(function, jobs)
    return
  context = multiprocessing.get_context("spawn")
  with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
    jobs = iter(jobs)
    ahead = collections.deque(
      pool.submit(function, job) for job in itertools.islice(jobs, 2 * workers)
    )
    while ahead:
      done = ahead.popleft().result()
      for job in itertools.islice(jobs, 1):
        ahead.append(pool.submit(function, job))
      yield done
