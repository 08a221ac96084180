"""What the package exports: names that programs rely on."""

from __future__ import annotations

import comrec


def test_the_public_names_are_these_and_each_exists() -> None:
    assert (
        sorted(comrec.__all__)
        == comrec.__all__
        == [
            "Codec",
            "Header",
            "Information",
            "Metadata",
            "Picture",
            "ProgressiveInformation",
            "codec",
            "codecs",
            "decode",
            "encode",
            "errors",
            "info",
            "jpegtuning",
            "learned",
            "register_pillow",
            "sandwich",
            "standard",
        ]
    )
    for name in comrec.__all__:
        assert getattr(comrec, name) is not None


def test_every_error_is_of_one_tree() -> None:
    raised = [
        kind
        for kind in vars(comrec.errors).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ]
    assert len(raised) > 10
    assert all(issubclass(kind, comrec.errors.ComrecError) for kind in raised)
