"""Generated protobuf and gRPC code; `make stubs` writes it. Do not edit it."""
