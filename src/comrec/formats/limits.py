"""Limits on what is read from files; that on pixels is `comrec.picture.MAX_PIXELS`."""

METADATA = 64 << 20
"""Bytes of the compressed metadata of a file after expansion, all together; more is left out."""
