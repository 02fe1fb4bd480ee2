"""What similarities are divided by is a positive number in every method: below zero, the unlike would be alike."""

import pytest

from ssl_zoo.encoders.image import MLP
from ssl_zoo.errors import InputError
from ssl_zoo.methods.dino import DINO
from ssl_zoo.methods.moco import MoCo
from ssl_zoo.methods.moco_v3 import MoCoV3
from ssl_zoo.methods.simclr import SimCLR
from ssl_zoo.methods.swav import SwAV
from ssl_zoo.views.image import SimCLRViews


@pytest.mark.parametrize("method", [DINO, MoCo, MoCoV3, SimCLR, SwAV], ids=lambda method: method.__name__)
@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_a_temperature_that_is_not_positive_is_refused(method, temperature):
    name = "student_temperature" if method is DINO else "temperature"
    encoder = MLP(hidden=[8], image_size=8)
    with pytest.raises(InputError, match=rf"^{name} is {temperature}; give a number above 0\.$"):
        method(encoder, SimCLRViews(), **{name: temperature})
