"""Fingerprints on real music, and groups that share nothing."""

import itertools

import librosa
import numpy as np
import pytest

from lsaprobe_jax.data import fingerprints, splits
from lsaprobe_jax.data.build import grouping
from lsaprobe_jax.data.corpus import open_corpus


@pytest.fixture(scope="module")
def music():
  corpus = open_corpus("multigenre", sample_rate=16000, clip_seconds=4.0, groups="dev")
  clips = {track: [] for track in corpus.tracks}
  for clip, audio in zip(corpus.clips, corpus.audio, strict=True):
    clips[clip.track].append(audio)
  return [np.concatenate(parts) for parts in clips.values()]


@pytest.fixture(scope="module")
def prints(music):
  return [fingerprints.fingerprint(audio, 16000) for audio in music]


def test_a_shifted_soft_noisy_copy_is_the_same_recording(music, prints):
  rng = np.random.default_rng(0)
  copies = [
    0.5 * audio[5920:] + 0.002 * rng.normal(size=len(audio) - 5920) for audio in music
  ]
  found = [fingerprints.fingerprint(audio, 16000) for audio in copies]
  count = len(music)
  pairs = list(fingerprints.duplicates([*prints, *found]))
  right = {(i, i + count) for i in range(count)}
  assert set(pairs) <= right  # nothing else matches
  assert len(pairs) >= 0.8 * count


def test_another_key_is_the_same_music(music, prints):
  higher = librosa.effects.pitch_shift(music[0], sr=16000, n_steps=2)
  other = fingerprints.fingerprint(higher, 16000)
  assert not fingerprints.same_recording(prints[0], other)
  alike = fingerprints.likeness(prints[0].chroma, other.chroma)
  others = [fingerprints.likeness(p.chroma, other.chroma) for p in prints[1:]]
  assert alike >= fingerprints.MIN_COVER > max(others)


def recordings(count, performers, works, seed=0):
  rng = np.random.default_rng(seed)
  return [
    grouping.Recording(
      track=f"t{i:04d}",
      work=f"w{rng.integers(works)}",
      performer=f"p{rng.integers(performers)}",
      stratum=str(i % 3),
      seconds=float(rng.uniform(60, 600)),
    )
    for i in range(count)
  ]


@pytest.mark.parametrize(("performers", "works"), [(60, 1000), (40, 60)])
def test_groups_share_neither_work_nor_performer(performers, works):
  made = recordings(300, performers, works)
  groups = grouping.assign(made)
  kept = [recording for recording in made if groups[recording.track]]
  for one, other in itertools.combinations(kept, 2):
    if one.work == other.work or one.performer == other.performer:
      assert groups[one.track] == groups[other.track]
  assert grouping.assign(made[::-1]) == groups
  assert {group for group in groups.values() if group} == set(splits.SHARES)


def test_shares_are_kept_where_nothing_hangs_together():
  made = recordings(600, 100_000, 100_000)
  groups = grouping.assign(made)
  total = sum(recording.seconds for recording in made)
  for group, share in splits.SHARES.items():
    seconds = sum(r.seconds for r in made if groups[r.track] == group)
    assert seconds / total == pytest.approx(share, abs=0.02)


def test_what_pairs_connect_is_one():
  merged = grouping.merge("abcde", [("c", "b"), ("b", "a"), ("e", "d")])
  assert merged == {"a": "a", "b": "a", "c": "a", "d": "d", "e": "d"}
