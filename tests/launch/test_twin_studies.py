"""benchmarks.twin_level and benchmarks.copies: what their tables rest on."""

import gzip
import pathlib
import re

import numpy as np
import pytest
from scipy import signal

from benchmarks import copying, level, readings
from lsaprobe_jax.metrics import difficulty, versions
from lsaprobe_jax.rows import parse_rows

RESULTS = pathlib.Path(__file__).parents[2] / "results" / "twins"
POLARITY = level.Reading("diffwave", ("polarity",))


def row(track, score, twin_scores, **more):
  """A row of a clip of a track by Loss."""
  return {
    **{"clip": f"{track}@{score}", "track": track, "group": "b", "split": "nonmember"},
    **{"model": "diffwave-multigenre-a", "corpus": "multigenre", "method": "loss"},
    **{"distance": None, "t_ratio": 0.2, "difficulty_calibration": "none", "seed": 0},
    **{"score": score, "cost": None, "reached": None, "nfe_forward": 4},
    **{"nfe_backward": 0, "seconds": 0.1, "magnitude": True, "album": "one"},
    **{"twins": "polarity,reversal", "twin_scores": twin_scores},
    **{"twin_nfe_forward": 8, "twin_nfe_backward": 0, "stratum": "album-mates"},
    **more,
  }


def test_a_track_is_the_mean_of_its_clips_by_logarithms():
  rows = [row("x", -1.0, [-2.0, -9.0]), row("x", -4.0, [-2.0, -9.0])]
  tracks = level.tracks_of([*rows, row("y", -1.0, [-1.0, -9.0])], ("polarity",))
  np.testing.assert_allclose(tracks.differences, [0, 0], atol=1e-12)
  tracks = level.tracks_of(rows, ("reversal", "polarity"))
  np.testing.assert_allclose(tracks.scores, [-np.log([2, 9, 2])])


@pytest.mark.parametrize(("count", "two_sided"), [(2, False), (2, True), (3, False)])
def test_audits_are_rejected_as_the_test_of_versions_rejects_them(count, two_sided):
  scores = np.random.default_rng(0).normal(size=(30, count)) + 0.4 * np.eye(count)[0]
  tracks = versions.TrackVersions(scores=scores)
  dealt = level.deal(tracks.block, by_album=False)[:20]
  ps = [
    versions.p_value(
      versions.TrackVersions(scores=scores[index]),
      permutations=1024,
      seed=0,
      two_sided=two_sided,
    )
    for index in dealt
  ]
  found = level.rejections(tracks.by_version, dealt, two_sided)
  assert found == sum(p <= level.ALPHA for p in ps)


def test_exchangeable_versions_keep_the_level():
  scores = np.random.default_rng(1).normal(size=(200, 2))
  tracks = versions.TrackVersions(scores=scores)
  dealt = level.deal(tracks.block, by_album=False)
  low, high = level.null_band(tracks.by_version, dealt, False)
  assert low < level.ALPHA < high
  assert low <= level.rejections(tracks.by_version, dealt, False) / len(dealt) <= high


def test_audits_by_album_take_albums_whole():
  block = np.repeat([0, 1, 2], 12)
  dealt = level.deal(block, by_album=True)
  assert dealt.shape == (level.AUDITS, level.TRACKS)
  assert all(np.unique(block[index]).size == 1 for index in dealt)
  assert all(np.unique(index).size == level.TRACKS for index in dealt)


def records(lean):
  """A record of 40 tracks of five albums, whose differences lean by so much."""
  half = np.random.default_rng(2).normal(size=20)
  twin = np.exp(lean + np.concatenate([half, -half]))
  rows = [row(f"{i}", -1.0, [-x, -1.0], album=i % 5) for i, x in enumerate(twin)]
  return [level.measure(rows, POLARITY)]


def test_a_lean_does_not_keep_its_level():
  even, leaning = records(0.0), records(1.0)
  assert level.keeps(even)
  assert not level.keeps(leaning)
  assert leaning[0]["lean"] == pytest.approx(1, abs=0.4)
  # With five albums, 1/32 is the lowest p.
  assert leaning[0]["p"]["albums", False] == pytest.approx(1 / 32)


def tone(hertz: float) -> np.ndarray:
  return np.sin(2 * np.pi * hertz * np.arange(copying.RATE) / copying.RATE).astype("f4")


def test_a_codec_keeps_the_place_of_what_it_codes():
  noise = np.random.default_rng(0).normal(scale=0.1, size=copying.RATE)
  audio = copying.matched(np.convolve(noise, np.ones(8) / 8, "same"), tone(440))
  copied = copying.make_copies()["MP3, 128 kbit/s"](audio)
  assert copying.bitrate(128) == 128
  half = slice(0, copying.RATE // 2)
  assert np.corrcoef(copied[half], audio[half])[0, 1] > 0.99


def test_shelves_lift_their_side_alone():
  for high, lifted, kept in ((False, 30, 6000), (True, 7000, 30)):
    _, h = signal.sosfreqz(
      copying.shelf(3, 1000, high), [lifted, kept], fs=copying.RATE
    )
    np.testing.assert_allclose(20 * np.log10(np.abs(h)), [3, 0], atol=0.3)


def test_the_better_polarity_does_not_turn_round():
  own = {"twins": "polarity,reversal,phase_90,phase_270"}
  straight = row("x", -1.0, [-4.0, -2.0, -2.0, -2.0], **own)
  inverted = row("x", -4.0, [-1.0, -2.0, -2.0, -2.0], **own)
  scores = [readings.either_polarity([r])[0]["score"] for r in (straight, inverted)]
  assert scores == pytest.approx([np.log(2)] * 2)
  alone = [difficulty.by_twins(readings.by_some([r], ("polarity",))) for r in
           (straight, inverted)]  # fmt: skip
  assert [rows[0]["score"] for rows in alone] == pytest.approx([np.log(4), -np.log(4)])


@pytest.mark.parametrize("name", ["level", "copies"])
def test_stored_rows_are_rows(name):
  path = RESULTS / f"{name}.jsonl.gz"
  rows = parse_rows(path, gzip.decompress(path.read_bytes()), more=("value",))
  models = {row["model"] for row in rows.values()}
  assert models == set(level.MODELS if name == "level" else ("A", "B", "reference"))


def test_the_stored_table_has_every_reading():
  text = (RESULTS / "level.md").read_text().partition("\n## ")[0]
  shown = re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)
  assert [str(reading) for reading in level.READINGS] == shown[1:]
