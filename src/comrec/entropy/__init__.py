"""Entropy coding under exact integer probabilities: decoding does not depend on float rounding.

tables.py     integer probability tables
coder.py      the entropy coder, by asymmetric numeral systems (ANS)
contexts.py   the context model of latents: which table codes each
"""
