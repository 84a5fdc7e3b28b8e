"""The names of encoders, known without loading the library that builds them."""

import pytest

from core.config import encoder_names


def test_the_names_are_exactly_the_ones_timm_builds():
    timm = pytest.importorskip("timm")
    assert encoder_names.names() == set(timm.list_models())
    assert len(encoder_names.names()) > 500


@pytest.mark.parametrize("name", ["mobilenetv2_035", "test_convnext", "convnext_tiny", "convnext_tiny.fb_in22k",
                                  "resnet50.any_tag"])
def test_an_architecture_is_known_with_or_without_a_tag(name):
    assert encoder_names.is_known(name)


@pytest.mark.parametrize("name", ["", "resnt50", ".fb_in22k", "ResNet50", "resnet50 ", "register_model"])
def test_anything_else_is_not_known(name):
    assert not encoder_names.is_known(name)


def test_the_closest_names_come_best_first():
    assert encoder_names.closest("mobilenetv2_35")[0] == "mobilenetv2_035"
    assert encoder_names.closest("resnet50.some_tag")[0] == "resnet50"


@pytest.mark.parametrize("name", ["", "#", "\n", "a name like nothing else"])
def test_there_is_always_something_closest(name):
    found = encoder_names.closest(name, n=3)
    assert len(found) == 3
    assert set(found) <= encoder_names.names()


@pytest.mark.parametrize("name", encoder_names._SMALLEST)
def test_encoders_that_need_no_check_take_the_images_they_are_said_to_take(name):
    from core.config import EncoderConfig
    from core.training import encoder

    smallest = encoder_names._SMALLEST[name]
    assert encoder_names.is_known_to_take(name, None) and encoder_names.is_known_to_take(name, smallest)
    assert not encoder_names.is_known_to_take(name, smallest - 1)
    for size in (smallest, smallest + 1, smallest + 15, 2 * smallest + 1):
        encoder.check(EncoderConfig(name=name, image_size=size))


def test_of_other_encoders_nothing_is_taken_for_granted():
    assert not encoder_names.is_known_to_take("test_vit", 32)
    assert encoder_names.is_known_to_take("test_vit", None)
