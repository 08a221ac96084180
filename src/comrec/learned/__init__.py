"""Codecs that are networks throughout, and the container of their files."""

from comrec.codec import register
from comrec.inference import store
from comrec.learned.liu2018 import HYPER, Liu2018

if store.find(Liu2018.id, "mse", "h_s", HYPER) is not None:
    register(Liu2018.id, Liu2018)
