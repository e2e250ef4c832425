"""The layers of a network, one module a family.

========================  ==============================================================================================
:mod:`~.base`             ``Layer``, ``WeightLayer``: what a layer is, and how to write one
:mod:`~.shape`            ``InputLayer``, ``InputImageLayer``, ``BC01ToC01BLayer``, ``C01BToBC01Layer``
:mod:`~.dense`            ``FCLayer``, ``FCMaxoutLayer``
:mod:`~.local`            ``LCLayer``, ``LCMaxoutLayer``
:mod:`~.conv`             ``ConvLayer``, ``ConvMaxoutLayer``, ``MLPConvLayer``
:mod:`~.pool`             ``MaxPool2DLayer``, ``MaxPoolChannelsLayer``, ``GlobalAveragePoolLayer``
:mod:`~.dropout`          ``DropoutLayer``
:mod:`~.output`           ``ClassificationOutputLayer``, ``SoftmaxOutputLayer``, ``MultilabelOutputLayer``,
                          ``OrdinalOutputLayer``
========================  ==============================================================================================
"""

from arignote.nnets.layers.base import LAYERS, Layer, WeightLayer
from arignote.nnets.layers.conv import ConvLayer, ConvMaxoutLayer, MLPConvLayer
from arignote.nnets.layers.dense import FCLayer, FCMaxoutLayer
from arignote.nnets.layers.dropout import DropoutLayer
from arignote.nnets.layers.local import LCLayer, LCMaxoutLayer
from arignote.nnets.layers.output import (
    ClassificationOutputLayer,
    MultilabelOutputLayer,
    OrdinalOutputLayer,
    OutputLayer,
    SoftmaxOutputLayer,
)
from arignote.nnets.layers.pool import GlobalAveragePoolLayer, MaxPool2DLayer, MaxPoolChannelsLayer
from arignote.nnets.layers.shape import BC01ToC01BLayer, C01BToBC01Layer, InputImageLayer, InputLayer

__all__ = [
    "LAYERS",
    "BC01ToC01BLayer",
    "C01BToBC01Layer",
    "ClassificationOutputLayer",
    "ConvLayer",
    "ConvMaxoutLayer",
    "DropoutLayer",
    "FCLayer",
    "FCMaxoutLayer",
    "GlobalAveragePoolLayer",
    "InputImageLayer",
    "InputLayer",
    "LCLayer",
    "LCMaxoutLayer",
    "Layer",
    "MLPConvLayer",
    "MaxPool2DLayer",
    "MaxPoolChannelsLayer",
    "MultilabelOutputLayer",
    "OrdinalOutputLayer",
    "OutputLayer",
    "SoftmaxOutputLayer",
    "WeightLayer",
]
