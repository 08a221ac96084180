"""Codecs that are networks throughout, and the container of their files."""

from comrec.codec import register
from comrec.learned.liu2018 import Liu2018
from comrec.learned.rippel2017 import Rippel2017
from comrec.learned.toderici2017 import Toderici2017

register(Liu2018.id, Liu2018)
register(Rippel2017.id, Rippel2017)
register(Toderici2017.id, Toderici2017)
