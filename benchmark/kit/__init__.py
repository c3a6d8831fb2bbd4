"""The conformance kit: what every optimizer must do, checked."""
