"""A corpus described in plain text: its groups, and what was left out."""

import collections

from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.data.splits import GROUPS
from lsaprobe_jax.text import printable


def describe(corpus: Corpus) -> str:
  """Returns lines with the tracks, clips and hours of each group, and all remarks."""
  tracks = collections.Counter(
    dict((clip.track, clip.group) for clip in corpus.clips).values()
  )
  clips = collections.Counter(clip.group for clip in corpus.clips)
  lines = [
    f"{printable(corpus.name)}: {len(corpus)} clips of {corpus.clip_seconds:g} s at "
    f"{corpus.sample_rate} Hz, fingerprint {corpus.fingerprint()[:16]}",
    f"{'group':<10}{'tracks':>8}{'clips':>8}{'hours':>9}",
  ]
  for group in GROUPS:
    hours = clips[group] * corpus.clip_seconds / 3600
    lines.append(f"{group:<10}{tracks[group]:>8}{clips[group]:>8}{hours:>9.4f}")
  lines.append(f"errors and remarks: {len(corpus.errors)}")
  lines += [f"  {message}" for _, message in corpus.errors]
  return "\n".join(lines)
