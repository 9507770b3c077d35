"""A dossier as text, a table and a page, of plain values."""

import pytest

from lsaprobe_jax.report import dossier, html

TEST = {
  "name": "raw",
  "kind": "reference",
  "assumes": "<i>both</i> could be exchanged",
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


GIVEN = {
  "reference": dict(reference="r", held_back=None),
  "alone": dict(reference=None, held_back=None),
  "canary": dict(reference=None, held_back="h"),
}
# A track compared with its own other versions.
VERSIONS = TEST | {
  "name": "suspects alone",
  "kind": "versions",
  "sets": {
    name: dict(effect=0.4, p_value=0.03, p_holm=0.06, tracks=9, blocks=7)
    for name in ("loss by twins", "panel")
  },
  "power": {"detectable": 0.9, "detectable_auc": None, "at_estimate": None},
}


def built(tests=(TEST,), mode="reference"):
  fact = dict(track="suspect-x", source="/m/=x.wav", sha256="0", seconds=2.0, rate=8000)
  fact |= dict(channels=1, format="WAV", lufs=None, bandwidth=4000.0)
  side = "held_back_1" if mode == "canary" else "reference"
  other = fact | {"track": "reference-y", "source": "/m/y.wav"}
  p = dict.fromkeys(tests[0]["sets"], 0.2)
  track = dict(track="suspect-x", score=p, p=p, q=0.2, flagged=True)
  cutoff = dict(cutoff=1.0, above=0, of=4)
  return dossier.build(
    verdict="Evidence of training.",
    given=dict(model="m", suspects="s", **GIVEN[mode], reference_model=None),
    facts={"suspect": [fact], **({} if mode == "alone" else {side: [other]})},
    clips={"suspect": ["suspect-x"], side: ["reference-y"]},
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
      cutoffs={"loss": cutoff, "panel": cutoff} if mode == "reference" else {},
      lowest_track=0.2,
      mode=mode,
      difficulty_calibration="none",
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


def test_tests_stand_side_by_side_with_what_they_assume():
  lines = dossier.text(built([TEST, VERSIONS])).splitlines()
  cells = [line.split() for line in lines]
  assert ["raw", "no", "spread", "0.01", "0.001", "decides"] in cells
  assert ["suspects", "alone", "+0.40", "sd", "0.01", "0.001"] in cells
  assert "suspects alone assumes: <i>both</i> could be exchanged" in lines


@pytest.mark.parametrize(
  ("mode", "lead"),
  [
    ("alone", "their own twins. No reference music was given"),
    ("canary", "versions of the same tracks in h, said to have been held back"),
  ],
)
def test_a_page_without_reference_tracks(mode, lead):
  page = html.render_dossier(built([VERSIONS], mode), {})
  assert lead in page
  assert "suspects alone (decides)" in page
  assert "&lt;i&gt;both&lt;/i&gt; could be exchanged" in page
  assert "By exchange of the versions of each track: 9 tracks in 7 albums" in page
  assert '<th scope="row">h, held_back_1</th>' in page or mode == "alone"
  assert "comparison tracks" not in page
  assert "p, loss by twins" in page


def test_a_table_has_a_line_a_file_and_no_formula():
  header, suspect, reference = dossier.table(built()).splitlines()
  assert header.startswith("side,track,source,sha256,seconds,rate,channels,format,lufs")
  assert suspect.startswith("suspect,suspect-x,/m/=x.wav,0,2.0,8000,1,WAV,,beyond the")
  assert reference.endswith(",,,,,,")


def test_files_that_are_called_alike_are_told_apart():
  facts = [
    dict(track=f"suspect-{folder}-1", source=f"/m/{folder}/1.wav") for folder in "ab"
  ]
  facts.append(dict(track="suspect-c", source="/m/c.wav"))
  tracks = [
    dict(track=fact["track"], p={"panel": 0.2}, score={"panel": 0.0}) for fact in facts
  ]
  ranked = dossier._ranked(tracks, {"suspect": facts})
  assert [track["shown"] for track in ranked] == ["a-1", "b-1", "c.wav"]


@pytest.mark.parametrize(
  ("changes", "said"),
  [({}, False), ({"albums_exchanged": True}, True)],
)
def test_power_is_that_of_tracks_that_are_not_alike(changes, said):
  page = html.render_dossier(built([TEST | changes]), {})
  assert ("takes tracks of an album to be no more alike" in page) == said


@pytest.mark.parametrize("names", [("raw",), ("raw", "by twins")])
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


@pytest.mark.parametrize(
  ("ci", "kept"), [((0.02, 0.08), True), ((0.0, 0.01), True), ((0.06, 0.14), False)]
)
def test_the_level_is_said_to_be_kept_where_it_was(ci, kept):
  made = built()
  made["found"]["null"] = {"rate": sum(ci) / 2, "ci": list(ci), "draws": 200}
  page = html.render_dossier(made, {})
  assert ("does not exceed its level" in page) == kept
  assert ("p-values of this page are too low" in page) == (not kept)


def test_tracks_stand_for_themselves_where_albums_are_exchanged():
  last = "here each stands for itself, whatever its album"
  assert last not in dossier.text(built())
  assert last in dossier.text(built([TEST | {"albums_exchanged": True}]))
