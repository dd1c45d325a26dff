"""Makes golden.tfevents with TensorBoard's own writer, used as PyTorch's SummaryWriter.add_scalar uses it.

    python golden.py FOLDER        (the committed file is from tensorboard 2.21.0, protobuf 7.36.2)
"""

import sys
import time

time.time = lambda: 1700000000.25  # the version event's

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

SCALARS = [
    ("train/loss", 2.1, 0, 1700000001.0),
    ("test/accuracy", 0.0, 0, 1700000001.5),
    ("train/loss", 1.25, 300, 1700000002.125),
    ("λ", -0.0, -1, 1700000003.0),
    ("train/loss", float("inf"), 9007199254740993, 1700000004.000001),
]

writer = EventFileWriter(sys.argv[1])
for tag, value, step, wall_time in SCALARS:
    summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
    writer.add_event(Event(wall_time=wall_time, step=step, summary=summary))
writer.close()
