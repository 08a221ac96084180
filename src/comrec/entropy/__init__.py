"""Entropy coding under exact integer probabilities: decoding does not depend on float rounding.

tables.py     integer probability tables
coder.py      the entropy coder, by asymmetric numeral systems (ANS)
queue.py      a range coder for the same tables, of which a prefix decodes
contexts.py   the context model of latents: which table codes each
planes.py     bit-planes of latents, from the coarsest to the finest
bits.py       binary codes by iterations
levels.py     what is known of latents, as the networks of these two take it
packing.py    the models of contexts and planes as bytes
"""
