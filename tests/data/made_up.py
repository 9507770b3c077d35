"""Tracks of a package that is made up on the spot."""

from lsaprobe_jax.data.build import sources


def track(number: int, group: str) -> sources.Source:
  """A track with a name that needs escaping; the first may not be shipped."""
  return sources.Source(
    track=f"track-{number}",
    package="made-up",
    path=f"music/{number}.flac",
    title="a | title\n<script>",
    author="[me](x)",
    licence="CC-BY-3.0" if number else "GPL-2",
    duplicates=f"d{number}",
    group=group,
  )
