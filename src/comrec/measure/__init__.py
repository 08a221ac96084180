"""Benchmarks: rate, distortion and time of codecs, BD-rates, plots and a report."""
