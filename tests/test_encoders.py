"""The names of encoders, known without loading the library that builds them."""

import pytest

from core import encoders


def test_the_names_are_exactly_the_ones_timm_builds():
    timm = pytest.importorskip("timm")
    assert encoders.names() == set(timm.list_models())
    assert len(encoders.names()) > 500


@pytest.mark.parametrize("name", ["mobilenetv2_035", "test_convnext", "convnext_tiny", "convnext_tiny.fb_in22k",
                                  "resnet50.any_tag"])
def test_an_architecture_is_known_with_or_without_a_tag(name):
    assert encoders.is_known(name)


@pytest.mark.parametrize("name", ["", "resnt50", ".fb_in22k", "ResNet50", "resnet50 ", "register_model"])
def test_anything_else_is_not_known(name):
    assert not encoders.is_known(name)


def test_the_closest_names_come_best_first():
    assert encoders.closest("mobilenetv2_35")[0] == "mobilenetv2_035"
    assert encoders.closest("resnet50.some_tag")[0] == "resnet50"


@pytest.mark.parametrize("name", ["", "#", "\n", "a name like nothing else"])
def test_there_is_always_something_closest(name):
    found = encoders.closest(name, n=3)
    assert len(found) == 3
    assert set(found) <= encoders.names()
