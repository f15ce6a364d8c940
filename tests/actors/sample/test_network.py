from __future__ import annotations

import pytest
import torch

from actors.sample.network import Net


@pytest.mark.parametrize("num_classes", [10, 3])
def test_an_image_gets_one_score_a_class(num_classes: int) -> None:
    assert Net(num_classes)(torch.zeros(2, 3, 32, 32)).shape == (2, num_classes)


def test_the_parameters_are_those_of_the_tutorial() -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in Net().state_dict().items()}
    assert shapes == {
        "conv1.weight": (6, 3, 5, 5),
        "conv1.bias": (6,),
        "conv2.weight": (16, 6, 5, 5),
        "conv2.bias": (16,),
        "fc1.weight": (120, 400),
        "fc1.bias": (120,),
        "fc2.weight": (84, 120),
        "fc2.bias": (84,),
        "fc3.weight": (10, 84),
        "fc3.bias": (10,),
    }


def test_images_do_not_influence_one_another() -> None:
    torch.manual_seed(0)
    net, images = Net().eval(), torch.randn(4, 3, 32, 32)
    with torch.inference_mode():
        together, alone = net(images), torch.cat([net(image[None]) for image in images])
    torch.testing.assert_close(together, alone)
