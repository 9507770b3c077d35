"""A dossier as text, a table and a page, of plain values."""

import pytest

from lsaprobe_jax.report import dossier, html

TEST = {
  "name": "reference",
  "p_value": 0.01,
  "lowest": 0.001,
  "albums_exchanged": False,
  "by_album": True,
  "sets": {
    "loss": dict(effect=1.5, p_value=0.02, p_holm=0.02, reference_tracks=4),
    "panel": dict(effect=float("inf"), p_value=0.01, p_holm=None, reference_tracks=4),
  },
  "power": {"detectable": 0.7, "detectable_auc": 0.69, "at_estimate": 0.9},
}
for one in TEST["sets"].values():
  one.update(tracks_needed=20.0, tracks_needed_ci=[8.0, None])


def built(tests=(TEST,)):
  fact = dict(track="suspect-x", source="/m/=x.wav", sha256="0", seconds=2.0, rate=8000)
  fact |= dict(channels=1, format="WAV", lufs=None, bandwidth=4000.0)
  other = fact | {"track": "reference-y", "source": "/m/y.wav"}
  p = {"loss": 0.2, "panel": 0.2}
  track = dict(track="suspect-x", score=p, p=p, q=0.2, flagged=True)
  cutoff = dict(cutoff=1.0, above=0, of=4)
  return dossier.build(
    verdict="Evidence of training.",
    given=dict(model="m", suspects="s", reference="r", reference_model=None),
    facts={"suspect": [fact], "reference": [other]},
    clips={"suspect": ["suspect-x"], "reference": ["reference-y"]},
    clip_seconds=4.0,
    gates=[dict(name="size", holds=True, text="enough", mend="")],
    notes=["two files were left out"],
    found=dict(
      alpha=0.05,
      evidence=True,
      p_value=0.01,
      tests=list(tests),
      tracks=[track],
      flagged=1,
      expected_flags=0.05,
      cutoffs={"loss": cutoff, "panel": cutoff},
      null=None,
    ),
    failed=[],
    environments=[],
    run={"config": {"alpha": 0.05}},
  )


def test_what_is_printed_ends_with_the_verdict():
  lines = dossier.text(built()).splitlines()
  assert lines[:2] == ["size: holds. enough", "note: two files were left out"]
  cells = [line.split() for line in lines]
  assert ["loss", "+1.50", "sd", "0.02", "0.02"] in cells
  assert ["panel", "no", "spread", "0.01"] in cells
  assert lines[-1] == "Evidence of training."


def test_a_table_has_a_line_a_file_and_no_formula():
  header, suspect, reference = dossier.table(built()).splitlines()
  assert header.startswith("side,source,sha256,seconds,rate,channels,format,lufs,")
  assert suspect.startswith("suspect,/m/=x.wav,0,2.0,8000,1,WAV,,above the level,0.2,")
  assert reference.endswith(",,,,,,")


@pytest.mark.parametrize("names", [("reference",), ("reference", "twins")])
def test_a_page_shows_each_test_of_the_set(names):
  """One needs no heading; several have one each."""
  page = html.render_dossier(built([TEST | {"name": name} for name in names]), {})
  for name in names:
    assert (f"<h3>{name}</h3>" in page) == (len(names) > 1)
  assert page.count("suspects for 80% power") == len(names)
  assert "the cutoff set on development tracks" not in page


def test_a_dossier_does_not_hang_on_its_pictures(monkeypatch, tmp_path):
  def full(*_):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(dossier, "draw", full)
  assert dossier.draw_if_possible(None, None, [], tmp_path) == {}
