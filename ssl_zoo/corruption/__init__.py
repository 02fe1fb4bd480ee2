"""What is hidden from an encoder or changed in its inputs, drawn on the device from examples' keys."""
