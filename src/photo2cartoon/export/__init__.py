"""Exports a checkpoint to an ONNX graph and verifies that its output matches torch's."""
