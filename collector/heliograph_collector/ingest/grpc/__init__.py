"""gRPC service heliograph.v1.Intake."""
