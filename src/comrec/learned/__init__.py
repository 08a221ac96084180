"""Codecs that are networks throughout, and the container of their files."""

from comrec.codec import register
from comrec.inference import store
from comrec.learned.hyperprior import HYPER
from comrec.learned.liu2018 import Liu2018

if store.find(Liu2018.id, "mse", "h_s", up=HYPER) is not None:
    register(Liu2018.id, Liu2018)
