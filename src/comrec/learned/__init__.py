"""Learned codecs, and the container of their files."""
