"""Pretrain, probe and compare self-supervised methods on images, text and speech.

Importing the package is light on purpose: nothing heavy is loaded until a module that needs it is.
"""

__version__ = "0.1.0"
