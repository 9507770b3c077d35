"""The embedded benchmark: multi-genre cross-over, small DiffWaves, 2 CPU cores.

  python -m launch.eval --config=configs/mini.py --workdir=runs/mini

About 3 minutes on two CPU cores; `configs/mini.py:piano` runs the piano corpus.

To keep to those minutes the search takes fewer halvings (5, the paper 10), steps (5,
the paper 12) of twice the length, and no restarts (the paper 5), and the reverse
process is one step. t, eta_ref, the step length and the Loss baseline's t were chosen
on tune tracks (benchmarks/tune_mini.md); the figures are of test tracks.
"""

from ml_collections import ConfigDict

# Clips of a track in the halves, and of a development track.
_CLIPS = {"multigenre": (1, 3), "piano": (5, 12)}


def get_config(corpus: str = "multigenre") -> ConfigDict:
  if corpus not in _CLIPS:
    raise ValueError(f"no embedded corpus {corpus!r}; known: {', '.join(_CLIPS)}")
  clips_per_track, dev_clips_per_track = _CLIPS[corpus]
  return ConfigDict(
    dict(
      seed=0,
      corpus=dict(
        path=corpus,
        clip_seconds=0.512,
        # Of a track in the halves: those the models were trained on.
        clips_per_track=clips_per_track,
        dev_clips_per_track=dev_clips_per_track,
      ),
      # Where a name is that of an embedded model; a path to a model folder works too.
      targets=dict(
        A=f"diffwave-{corpus}-a",
        B=f"diffwave-{corpus}-b",
        reference=f"diffwave-{corpus}-reference",
      ),
      # Settings were chosen on the tracks of the part `tune`.
      part="test",
      # Random weights instead of the targets' own: every interval must contain 0.5.
      untrained=False,
      t_ratio=0.4,
      num_steps=1,
      # Of the models' blocks: bfloat16 for accelerators, see docs/speed.md.
      precision="float32",
      distance="mr_stft",
      search=dict(
        # One of those below.
        name="continuation",
        eta_max=0.8,
        norm="rms",
        continuation=dict(
          span=16.0, rungs=16, steps=2, warmup=2, momentum=0.8, restarts=1
        ),
        # The paper's.
        bisection=dict(
          halvings=10,
          ascent_steps=12,
          step_size=0.25,
          momentum=0.9,
          restarts=5,
          min_gain=0.01,
          patience=3,
          min_gradient=1e-6,
        ),
        auto_pgd=dict(halvings=6, ascent_steps=50, restarts=1),
        minimum_norm=dict(steps=35, step_size=2.0, shrink=0.1, start=0.25),
      ),
      tau=dict(eta_ref=0.2, quantile=0.95),
      random_stability=dict(eta=0.4, draws=4),
      # The ascent at one budget: tried by launch.tune, not a row of launch.eval.
      worst_damage=dict(eta=0.8),
      loss=dict(t_ratio=0.4, draws=4),
      batch_size=8,
      bootstrap_resamples=10_000,
    )
  )
