"""launch.eval --record and launch.report, and the page in a real browser."""

import json
import pathlib
import shutil

import crossover
import numpy as np
import pytest
from launching import complaint, eval_flags
from stored_rows import read_rows

CHROMIUM = pathlib.Path("/usr/bin/chromium")
QUIET = (
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, launcher, settings, finished):
  """(working folder, flags) of a finished evaluation with two clips a side recorded."""
  workdir = tmp_path_factory.mktemp("report") / "run"
  shutil.copytree(finished[0], workdir)
  args = eval_flags(workdir, settings, "--record=2")
  done = launcher.run("eval", *args)
  assert done.returncode == 0, done.stderr
  return workdir, args


@pytest.fixture(scope="module")
def reported(recorded, launcher):
  """The page of that folder, with figures beside it."""
  done = launcher.run("report", f"--workdir={recorded[0]}", "--figures")
  assert done.returncode == 0, done.stderr
  return recorded[0] / "report.html"


def about(path):
  with np.load(path) as file:
    return json.loads(str(file["about"])), dict(file)


def records_of(workdir):
  return sorted(p for p in (workdir / "records").glob("*.npz") if p.stem != "sounds")


def test_recording_leaves_the_scores_alone(recorded, finished):
  for name in ("scores.jsonl", "curves.jsonl", "summary.json"):
    assert (recorded[0] / name).read_bytes() == (finished[0] / name).read_bytes()


def test_the_least_and_the_most_stable_of_each_side_are_recorded(recorded):
  found = {about(path)[0]["row"]["clip"] for path in records_of(recorded[0])}
  rows = [
    row
    for row in read_rows(recorded[0] / "scores.jsonl")
    if (row["method"], row["model"]) == ("lsa_probe", "A")
  ]
  expected = set()
  for split in ("member", "nonmember"):
    side = sorted((r["score"], r["clip"]) for r in rows if r["split"] == split)
    expected |= {side[0][1], side[-1][1]}
  assert found == expected


def test_a_trace_ends_in_the_curve_of_its_row(recorded):
  rows = {
    row["clip"]: row
    for row in read_rows(recorded[0] / "scores.jsonl")
    if (row["method"], row["model"]) == ("lsa_probe", "A")
  }
  for path in records_of(recorded[0]):
    found, arrays = about(path)
    row = rows[found["row"]["clip"]]
    trace = found["searches"]["continuation"]
    np.testing.assert_allclose(trace["degradations"], row["degradations"], rtol=1e-3)
    for degradation, steps in zip(trace["degradations"], trace["steps"], strict=True):
      assert degradation == pytest.approx(max(steps), rel=1e-6)
    paper = found["searches"]["bisection"]
    assert len(paper["budgets"]) == len(paper["steps"]) >= 1
    assert paper["budgets"][0] == pytest.approx(0.8)
    assert len(arrays["audio"]) == len(arrays["images"])
    assert path.stat().st_size < 300_000


def test_a_rerun_records_nothing_again(recorded, launcher):
  before = {path: path.stat().st_mtime_ns for path in records_of(recorded[0])}
  missing = next(iter(before))
  missing.unlink()
  assert launcher.run("eval", *recorded[1]).returncode == 0
  after = {path: path.stat().st_mtime_ns for path in records_of(recorded[0])}
  assert after.keys() == before.keys()
  assert {path for path in after if after[path] != before[path]} == {missing}


def test_figures_come_in_three_formats(reported):
  files = sorted(p.name for p in (reported.parent / "figures").iterdir())
  stems = {pathlib.Path(name).stem for name in files}
  assert {"methods", "roc", "curves-A", "curves-B"} <= stems
  assert len(files) == 3 * len(stems)


@pytest.fixture(scope="module")
def browser():
  sync_api = pytest.importorskip("playwright.sync_api")
  if not CHROMIUM.exists():
    pytest.skip(f"no {CHROMIUM}: apt-get install chromium")
  with sync_api.sync_playwright() as playwright:
    yield playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))


@pytest.fixture
def opened(browser, reported):
  """The page at a phone's width; afterwards there was no error and no request."""
  page = browser.new_page(viewport={"width": 390, "height": 844})
  said, asked = [], []
  page.on("console", lambda message: said.append(message.text))
  page.on("pageerror", lambda error: said.append(str(error)))
  page.on("request", lambda request: asked.append(request.url))
  page.goto(reported.as_uri())
  yield page
  assert said == []
  assert [url for url in asked if not url.startswith("data:")] == [reported.as_uri()]
  page.close()


@pytest.mark.slow
def test_the_page_is_ready_at_once_and_fits_a_phone(opened):
  assert float(opened.evaluate("document.documentElement.dataset.ready")) < 3000
  wide = opened.evaluate("document.documentElement.scrollWidth - innerWidth")
  assert wide <= 0


@pytest.mark.slow
def test_its_figures_are_those_of_the_summary(opened, recorded):
  summary = json.loads((recorded[0] / "summary.json").read_text())
  key = ("method", "model", "difficulty_calibration")
  found = {tuple(record[k] for k in key): record for record in summary}
  low, high = found["lsa_probe", "mean", "none"]["auc_ci"]
  auc = found["lsa_probe", "mean", "none"]["auc"]
  text = f"{auc:.3f} [{low:.3f}, {high:.3f}]"
  assert opened.inner_text("#verdict-auc") == text
  assert text in opened.inner_text("#explorer-text")
  assert text in opened.inner_text("#results")
  opened.select_option("#explorer-model", "A")
  assert f"{found['lsa_probe', 'A', 'none']['auc']:.3f}" in opened.inner_text(
    "#explorer-text"
  )


def changed(page, selector, act):
  """Whether what is drawn there becomes another after an act."""
  from playwright.sync_api import TimeoutError as Late

  before = page.inner_html(selector)
  act()
  try:
    page.wait_for_function(
      "([s, h]) => document.querySelector(s).innerHTML !== h",
      arg=[selector, before],
      timeout=5000,
    )
  except Late:
    return False
  return True


@pytest.mark.slow
def test_every_control_changes_what_is_drawn(opened):
  page = opened
  check = lambda name, value: page.check(f'input[name="{name}"][value="{value}"]')
  last = lambda s: page.select_option(s, index=page.locator(f"{s} option").count() - 1)
  for selector, act in (
    ("#plot-methods", lambda: check("scores", "reference")),
    ("#plot-methods", lambda: check("scores", "all")),
    ("#plot-walk", lambda: page.fill("#walk-time", "0")),
    ("#plot-walk", lambda: last("#walk-clip")),
    ("#plot-walk", lambda: check("side", "nonmember")),
    ("#plot-search", lambda: page.click("#search-step")),
    ("#plot-search", lambda: page.click("#search-reset")),
    ("#search-text", lambda: page.select_option("#search-name", "bisection")),
    ("#plot-curves", lambda: last("#curves-clip")),
    ("#plot-curves", lambda: page.select_option("#curves-model", "B")),
    ("#plot-roc", lambda: check("axes", "log")),
    ("#plot-roc", lambda: last("#explorer-method")),
    ("#plot-scores", lambda: page.select_option("#explorer-model", "B")),
    ("#clips-table tbody", lambda: page.click("#clips-table .sort >> nth=0")),
    ("#copy-text", lambda: page.click("#copy")),
  ):
    assert changed(page, selector, act), selector


@pytest.mark.slow
def test_players_play_and_pause(opened):
  for button, plot in (("#walk-play", "#plot-walk"), ("#search-play", "#plot-search")):
    before = opened.inner_html(plot)
    opened.click(button)
    assert opened.inner_text(button) == "Pause"
    opened.wait_for_function(
      "([s, h]) => document.querySelector(s).innerHTML !== h", arg=[plot, before]
    )
    opened.click(button)
    assert opened.inner_text(button) == "Play"


@pytest.mark.slow
def test_a_side_of_which_nothing_is_recorded_is_empty(browser, reported, tmp_path):
  """As after a recording that was interrupted: members come first."""
  text = reported.read_text()
  begin = text.index(">", text.index('id="data"')) + 1
  end = text.index("</script>", begin)
  data = json.loads(text[begin:end])
  walk = data["walk"]
  walk["clips"] = [clip for clip in walk["clips"] if clip["split"] == "member"]
  assert walk["clips"]
  path = tmp_path / "half.html"
  path.write_text(text[:begin] + json.dumps(data) + text[end:])
  page = browser.new_page()
  errors = []
  page.on("pageerror", lambda error: errors.append(str(error)))
  page.goto(path.as_uri())
  assert walk["clips"][0]["title"] in page.inner_text("#walk-text")
  page.check('input[name="side"][value="nonmember"]')
  for name in ("walk", "search"):
    assert page.inner_text(f"#{name}-text") == "No clip of this side is recorded yet."
  page.click("#search-step")
  assert page.locator("#img-x_0[src]").count() == 0
  page.check('input[name="side"][value="member"]')
  assert walk["clips"][0]["title"] in page.inner_text("#walk-text")
  assert errors == []


@pytest.mark.slow
def test_sounds_can_be_loaded(opened):
  for name in ("x_0", "noisy", "clean", "attacked"):
    opened.wait_for_function(
      "i => Math.abs(document.getElementById(i).duration - 0.256) < 0.001",
      arg=f"sound-{name}",
    )
  opened.click("td.sound button >> nth=0")
  first = opened.locator("td.sound button").first
  # It says what a click does, also to those who do not see it; half a second ends soon.
  first.and_(opened.locator("text=Play")).wait_for()
  assert first.get_attribute("aria-label").startswith("Play ")
  opened.wait_for_function(
    "() => document.getElementById('clip-sound').duration > 0.25"
  )


@pytest.mark.slow
def test_a_hostile_title_stays_text(tmp_path, launcher, browser):
  hostile = "</script><img src=x onerror=alert(1)>'\"&{{7*7}}"
  rows = [
    row | {"track": row["track"] + hostile, "clip": row["clip"] + hostile}
    for row in crossover.rows()
  ]
  (tmp_path / "main.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
  done = launcher.run("report", f"--workdir={tmp_path}")
  assert done.returncode == 0, done.stderr
  page = browser.new_page()
  page.goto((tmp_path / "report.html").as_uri())
  assert page.evaluate("document.documentElement.dataset.ready")
  assert page.locator("img").count() == 0
  assert hostile in page.locator("#clips-table tbody th >> nth=0").text_content()
  assert "launch.eval" in page.inner_text("#walk")
  assert "--ablations=distance" in page.inner_text("#distances")
  page.close()


def test_what_cannot_be_reported_is_refused(tmp_path, launcher, recorded):
  refused = lambda *args: complaint(launcher.run("report", *args))
  assert "no such folder" in refused(f"--workdir={tmp_path / 'none'}")
  assert "run launch.eval" in refused(f"--workdir={tmp_path}")
  rows = crossover.rows("loss")
  (tmp_path / "main.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
  assert "no scores of lsa_probe" in refused(f"--workdir={tmp_path}")
  other = refused(f"--workdir={recorded[0]}", f"--sweep={tmp_path}")
  assert "other clips or models" in other
  stale = tmp_path / "stale"
  shutil.copytree(recorded[0], stale)
  lines = (stale / "scores.jsonl").read_text().splitlines()
  kept = [line for line in lines if '"lsa_probe"' not in line or '"a00' not in line]
  (stale / "scores.jsonl").write_text("\n".join(kept) + "\n")
  assert "is not of these rows" in refused(f"--workdir={stale}")
