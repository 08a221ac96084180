"""Regions of interest: importance maps of pictures, from several sources.

source ──► map, 0..1, of the upright picture ──► turned as the picture is stored, aligned ──►
weights of errors, `Picture.importance`
"""

from comrec.roi import network
from comrec.roi.maps import (
    DEFAULT_STRENGTH,
    STRENGTHS,
    aligned,
    check_strength,
    marked,
    stored,
    weights,
)
from comrec.roi.overlay import heat, shown
from comrec.roi.sources import AUTO, CENTRE, Given, check, map_of

__all__ = [
    "AUTO",
    "CENTRE",
    "DEFAULT_STRENGTH",
    "STRENGTHS",
    "Given",
    "aligned",
    "check",
    "check_strength",
    "heat",
    "map_of",
    "marked",
    "network",
    "shown",
    "stored",
    "weights",
]
