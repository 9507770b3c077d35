"""The corpus for base models and fine-tunes."""

import collections
import dataclasses

from lsaprobe_jax.data import splits
from lsaprobe_jax.data.build import chorales, recipes, sources


def test_halves_of_dose_were_no_test_tracks_before():
  listed = {source.track: source for source in sources.dose()}
  before = {f"dose-{s.track}": s for s in sources.multigenre(extended=True)}
  assert listed.keys() == before.keys()
  core = {f"dose-{source.track}" for source in sources.multigenre()}
  for track, source in listed.items():
    if source.group in ("a", "b") and before[track].group in ("a", "b"):
      assert track in core
      assert splits.part_of(before[track].track) == "tune"
  count = collections.Counter(source.group for source in listed.values())
  assert count == {"a": 48, "b": 48, "dev": 21, "reference": 142}
  groups = collections.defaultdict(set)
  for source in listed.values():
    groups[source.duplicates].add(source.group)
  assert all(len(found) == 1 for found in groups.values())
  # Half of each package's tracks in the halves are in either, give or take one.
  for package in {source.package for source in listed.values()}:
    sides = [s.group for s in listed.values() if s.package == package]
    assert abs(sides.count("a") - sides.count("b")) <= 1


def chorale(number: int, tune: int) -> sources.Source:
  return sources.Source(
    track=f"bach-bwv{number}", package="music21", path=f"bach/bwv{number}.mxl",
    title=f"Chorale bwv{number}", author="Johann Sebastian Bach", licence="see there",
    duplicates=f"chorale-{tune}", group=splits.hashed_group(f"chorale-{tune}"),
  )  # fmt: skip


def test_halves_of_chorales_were_no_test_tracks_before():
  # Two of every third tune, which a half must not have twice.
  listed = [chorale(i, i - (i % 3 == 2)) for i in range(400)]
  before = {source.track: source for source in listed}
  was_read = lambda s: s.group in "ab" and splits.part_of(s.track) == "test"
  read = {s.duplicates for s in listed if was_read(s)}
  drawn = chorales.dose(listed)
  count = collections.Counter(source.group for source in drawn)
  assert count == {"a": 48, "b": 48, "dev": 24}
  tunes = [source.duplicates for source in drawn]
  assert len(tunes) == len(set(tunes))
  assert read.isdisjoint(s.duplicates for s in drawn if s.group in "ab")
  for source in drawn:
    old = before[source.track.removeprefix("dose-")]
    assert old == dataclasses.replace(source, track=old.track, group=old.group)
  # What is drawn does not depend on the order of the list.
  turned = chorales.dose(listed[::-1])
  assert {s.duplicates: s.group for s in turned} == {
    s.duplicates: s.group for s in drawn
  }


def test_few_chorales_make_small_halves_and_none_that_was_read():
  listed = [chorale(i, i) for i in range(60)]
  read = {s.track for s in listed if s.group in "ab"
          and splits.part_of(s.track) == "test"}  # fmt: skip
  halves = [s.track for s in chorales.dose(listed) if s.group in "ab"]
  assert 0 < len(halves) < 60
  assert read.isdisjoint(track.removeprefix("dose-") for track in halves)


def test_what_is_shipped_of_dose_is_what_is_judged():
  listed = sources.dose()
  shipped = recipes._wanted(recipes.shipped("dose"))
  judged = [source for source in listed if source.group != "reference"]
  assert shipped == [s for s in judged if sources.shippable(s.licence)]
  assert {source.group for source in shipped} == {"a", "b", "dev"}
  # The files of a whole build are the same: they have as many segments.
  whole = recipes.Recipe(corpus="dose", segments_per_track=16)
  for source in listed:
    most = recipes._most_segments(whole, source)
    assert most == (16 if source.group == "reference" else 2)
    assert recipes._most_segments(recipes.shipped("dose"), source) == 2
  by_group = {source.group: source for source in listed}
  for wanted, most in ((None, 2), (1, 1)):
    recipe = recipes.Recipe(corpus="dose", segments_per_track=wanted)
    assert recipes._most_segments(recipe, by_group["a"]) == most
    assert recipes._most_segments(recipe, by_group["reference"]) == wanted
