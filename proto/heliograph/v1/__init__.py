"""Generated protobuf and gRPC code; `make stubs` writes it, nobody edits it."""
