"""What progressive codecs have in common: every prefix of a file is a file of lower quality."""

from __future__ import annotations

from comrec.codec import Codec
from comrec.formats import cmr
from comrec.picture import Picture
from comrec.ratecontrol import OperatingPoint, too_small


class ProgressiveCodec(Codec):
    """A codec of .cmr files whose payloads come in order of worth.

    Each payload decodes on those before it: `decode` uses as many as `cmr.parse` gives, fewer than
    the header says where ``partial`` is asked for. Quality chooses how many are written, and 100
    writes all.
    """

    extension = cmr.EXTENSION
    container = cmr.FORMAT

    def encode_within(self, picture: Picture, budget: int) -> OperatingPoint:
        """Encodes once, and cuts."""
        whole = self.encode(picture, 100)
        data = cmr.cut(whole, budget)
        if data is None:
            raise too_small(budget, self.id, self._smallest(whole))
        kept = cmr.header(data).payloads / cmr.header(whole).payloads
        return OperatingPoint(data, 100 * kept, 1)

    def _smallest(self, whole: bytes) -> int:
        file = cmr.parse(whole)
        return len(cmr.write(file.header, file.metadata, file.alpha, file.payloads[:1]))
