"""The page's recorded clips: a walk through their spectrograms, and their sounds."""

from typing import Any

from lsaprobe_jax.report import media
from lsaprobe_jax.report.reading import Recording, Results, probe_rows, title

_PANELS = ("noisy", "clean", "attacked")


def walk(results: Results, probe: dict[str, Any]) -> dict[str, Any] | None:
  """The recorded clips at several times, and their searches.

  Returns:
    What the index says, `taus` by time where a sweep calibrated them, and `clips`:
    `x_0`, `panels` as {image, sound}, `reconstruction` and `degradation`, all by time,
    and `searches` by name. None without a recording.
  """
  recording = results.recording
  if recording is None or not recording.clips:
    return None
  index = {k: v for k, v in recording.index.items() if k not in ("clips", "about")}
  return index | {
    "missing": recording.missing,
    "taus": _taus(results, probe, index),
    "clips": [_walked(item, recording) for item in recording.clips],
  }


def _taus(results: Results, probe, index) -> list[float | None]:
  """tau of the recorded model at each time of the recording, where it is known."""
  rows = results.rows + results.ablations.get("t_ratio", ([], []))[0]
  known = {
    row["t_ratio"]: row["tau"]
    for row in probe_rows(rows)
    if (row["model"], row["distance"]) == (index["model"], probe["distance"])
  }
  return [known.get(time) for time in index["times"]]


def _walked(item: dict[str, Any], recording: Recording) -> dict[str, Any]:
  about, rate = item["about"], recording.index["sample_rate"]
  row = about["row"]
  panel = lambda i: {
    "image": media.png_uri(item["images"][i]),
    "sound": media.wav_uri(item["audio"][i], rate),
  }
  times = len(recording.index["times"])
  return {
    **{k: row[k] for k in ("clip", "track", "split", "score", "cost", "reached")},
    "tau": row["tau"],
    **recording.index["about"][row["clip"]],
    "title": title(row, recording.index["about"]),
    "label": item["label"],
    "rank": item["rank"],
    "x_0": panel(0),
    "panels": {
      name: [panel(1 + n * times + i) for i in range(times)]
      for n, name in enumerate(_PANELS)
    },
    "reconstruction": about["reconstruction"],
    "degradation": about["degradation"],
    "searches": about["searches"],
    "range_db": about["range_db"],
  }


def sounds(results: Results) -> dict[str, str]:
  """Sounds of the judged clips that were kept, as data URIs by the clip's id."""
  if results.recording is None:
    return {}
  rate = results.recording.index["sample_rate"]
  return {
    clip: media.wav_uri(samples, rate)
    for clip, samples in results.recording.sounds.items()
  }
