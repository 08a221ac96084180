"""Exact integer probabilities and the coder over them: nothing here depends on rounding.

tables.py     how often each value comes, in integers
coder.py      values to bytes and back, by asymmetric numeral systems
contexts.py   which table a latent has, by a hyper-decoder's index and by the latents around it
"""
