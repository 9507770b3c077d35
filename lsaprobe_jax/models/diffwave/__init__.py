"""DiffWave (Kong et al. 2021, arXiv 2009.09761) in the form of LMNT's code."""
