"""gRPC service heliograph.v1.Intake.

async with serve_grpc(service, "127.0.0.1:0", keyring, sessions=1_000) as port:
    ...  # agents connect to this port
"""
