"""Running the networks: ONNX Runtime sessions, tiles, the weight store."""
